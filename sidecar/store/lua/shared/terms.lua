-- The terms of blocks that have left the list are forgotten here; the archive keeps them.
local function forget_terms(terms_key, live)
  local numbers, gone = {}, {}
  for _, block in ipairs(live) do numbers[tostring(block[NUMBER])] = true end
  local terms = redis.call('HGETALL', terms_key)
  for index = 1, #terms, 2 do
    local number = string.match(terms[index], '^id:') and terms[index + 1] or terms[index]
    if string.match(number, '^%d+$') and not numbers[number] then gone[#gone + 1] = terms[index] end
  end
  if #gone > 0 then redis.call('HDEL', terms_key, unpack(gone)) end
end

-- The live block with this id, or nil.
local function block_of(terms_key, id, blocks)
  local number = tonumber(redis.call('HGET', terms_key, 'id:' .. id) or 0)
  for _, block in ipairs(blocks) do
    if block[NUMBER] == number then return block end
  end
end
