-- For who adds a block to an account.
local BLOCKS_MAX, SCOPES_MAX = 256, 255

-- The number that a scope or a series has in the account, a new one if need be; nil: there are as many as can be.
local function number_of(account, terms_key, field, counter, most)
  local known = redis.call('HGET', terms_key, field)
  if known then return tonumber(known) end
  if account[counter] >= most then return nil end
  account[counter] = account[counter] + 1
  redis.call('HSET', terms_key, field, account[counter])
  return account[counter]
end

-- A field of the payer's lists blocks of this scope from now on.
local function list_scope(field, scope)
  local scopes = redis.call('HGET', PAYER, field) or ''
  if not string.find(scopes, string.char(scope), 1, true) then
    redis.call('HSET', PAYER, field, scopes .. string.char(scope))
  end
end

-- Numbers the block and adds it; it begins at once if it starts when it was made. Answers where its line stands.
local function add_block(account, blocks, terms_key, kind, block, id, terms, detail)
  local number, amount = account[NEXT_NUMBER] + 1, block[AMOUNT]
  blocks[#blocks + 1], block[NUMBER], account[NEXT_NUMBER] = block, number, number
  account[GRANTED_TOTAL], account[SCHEDULED] = account[GRANTED_TOTAL] + amount, account[SCHEDULED] + amount
  local moves = struct.pack(MOVE, GRANTED, number, amount)
  if block[STATE] == SCHEDULED_STATE and block[STARTS_AT] <= block[CREATED_AT] then
    moves = moves .. begin(account, block)
  end
  redis.call('HSET', terms_key, number, terms, 'id:' .. id, number)
  return write(kind, account, moves, 'block', packed_block(block), 'terms', terms, 'detail', detail)
end
