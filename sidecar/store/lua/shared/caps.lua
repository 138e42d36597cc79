-- Spend caps: how much of a unit may be spent in a window of time. Of the payer:
--   caps:<customer id>:<unit>  those of the payer, or of a member of its pool, one in a line of words:
--     <id> <most> <block or notify> <scope> <feature, rule or key of it> <window> <clock>, and more for others
--   capped:<unit>  there while there are any in the unit; its account is marked CAPPED then
-- A window is an hour, day, week or month of the cap's clock, or a number of ms before now, which is counted in steps.
-- The clock: how far it is ahead of UTC, s, and from when on, s, how far then: <ahead>[,<at>:<ahead>]…
-- What counts in a window or step is a counter, spend:<id>@<start, ms>~<when it counts no more, ms>. The text of a hold
-- says in which ones it counts, by part: *<part>:<counter>[,…]. A hold stays in the window in which it was taken.
local caps = {}

-- A script has 200 local names at most: the others are known in here only.
do
  local CAP_STEPS, DAY_S, COUNTER_KEPT_MS = 24, 86400, 86400000

  local function ahead_at(clock, at)
    local ahead = tonumber(string.match(clock, '^-?%d+'))
    for from, further in string.gmatch(clock, '(%d+):(-?%d+)') do
      if tonumber(from) > at then break end
      ahead = tonumber(further)
    end
    return ahead
  end

  -- When a clock shows this for the first time, or, if it skips it, when it skips it.
  local function when_shown(clock, shown)
    local before, after = ahead_at(clock, shown - DAY_S), ahead_at(clock, shown + DAY_S)
    if ahead_at(clock, shown - before) ~= before and ahead_at(clock, shown - after) == after then
      return shown - after
    end
    return shown - before
  end

  -- The first day of the month that a day is in; days count from 1970.
  local function month_of(day)
    local of_era = (day + 719468) % 146097
    local year = math.floor((of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524) -
      math.floor(of_era / 146096)) / 365)
    local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
    return day - of_year + math.floor((153 * math.floor((5 * of_year + 2) / 153) + 2) / 5)
  end

  -- The window of a calendar that `now` is in: its start and its end, ms.
  local function calendar_window(window, clock, now)
    local at = math.floor(now / 1000)
    local shown = at + ahead_at(clock, at)
    if window == 'hour' then
      local start = at - shown % 3600
      return start * 1000, (start + 3600) * 1000
    end
    local first = math.floor(shown / DAY_S)
    local next_one = first + 1
    if window == 'week' then
      first = first - (first + 3) % 7
      next_one = first + 7
    elseif window == 'month' then
      first = month_of(first)
      next_one = month_of(first + 31)
    end
    return when_shown(clock, first * DAY_S) * 1000, when_shown(clock, next_one * DAY_S) * 1000
  end

  local function cap_counter(id, start, ends_at)
    return string.format('spend:%s@%.0f~%.0f', id, start, ends_at)
  end

  -- How a cap stands: {used, held, counters: each {name, when it counts no more, amount}, the newest first}.
  function caps.stand(cap, now)
    local counters, fields, rolling = {}, {}, tonumber(cap.window)
    if rolling then
      local step = math.ceil(rolling / CAP_STEPS)
      for start = now - now % step, now - rolling - step + 1, -step do
        counters[#counters + 1] = {cap_counter(cap.id, start, start + step + rolling), start + step + rolling, 0}
      end
    else
      local start, ends_at = calendar_window(cap.window, cap.clock, now)
      counters[1] = {cap_counter(cap.id, start, ends_at), ends_at, 0}
    end
    for index, each in ipairs(counters) do fields[index] = 'counter:' .. each[1] end
    local used, held = 0, 0
    for index, packed in ipairs(redis.call('HMGET', PAYER, unpack(fields))) do
      if packed then
        local used_then, held_then = struct.unpack(COUNTER, packed)
        used, held, counters[index][3] = used + used_then, held + held_then, used_then + held_then
      end
    end
    return {used, held, counters}
  end

  -- How long until `amount` fits, ms; 0: when holds come back, nobody knows when; -1: never.
  local function cap_wait(cap, stand, amount, now)
    if amount > cap.most then return -1 end
    if stand[1] + amount <= cap.most then return 0 end
    local counts = stand[1] + stand[2]
    for index = #stand[3], 1, -1 do
      counts = counts - stand[3][index][3]
      if counts + amount <= cap.most then return stand[3][index][2] - now end
    end
  end

  -- The caps of a customer in a unit.
  function caps.of(customer, unit)
    local found = {}
    local text = redis.call('HGET', PAYER, 'caps:' .. customer .. ':' .. unit) or ''
    for id, most, action, scope, of, window, clock in
      string.gmatch(text, '(%S+) (%d+) (%a+) (%a+) (%S+) (%S+) (%S+)[^\n]*') do
      found[#found + 1] = {
        id = id, most = tonumber(most), blocks = action == 'block', scope = scope, of = of, window = window,
        clock = clock,
      }
    end
    return found
  end

  -- Those that a hold with this text counts in, of who asks and of who pays. `key`: which one was used, if any.
  local function caps_for(account, text, key)
    if account[WAITING] < CAPPED then return {} end
    local asking, feature, rule = string.match(text, '^%S+ (%S+) %S+ %S+ %S+ (%S+) (%S+)')
    local payer, unit = string.match(account.name, '^(%S+) (.+)$')
    local found, asked = {}, {total = '-', feature = feature, rule = rule, key = key}
    for _, whose in ipairs(asking == payer and {payer} or {payer, asking}) do
      for _, cap in ipairs(caps.of(whose, unit)) do
        if asked[cap.scope] == cap.of then found[#found + 1] = cap end
      end
    end
    return found
  end

  local function told(cap, stand, wait)
    return cap.id, cap.scope, cap.of, cap.window, cap.most, stand[1], stand[2], stand[3][1][2], wait
  end

  -- The caps that could refuse who asks with this text, without a key, each as a refusal tells of it.
  function caps.blocking(account, text, now)
    local found = {}
    for _, cap in ipairs(caps_for(account, text)) do
      if cap.blocks then found[#found + 1] = {told(cap, caps.stand(cap, now), 0)} end
    end
    return found
  end

  -- The refusal by the cap that lets nobody through for the longest, or nil. Adds the counters of a part to `claims`.
  function caps.beyond(account, text, key, amount, part, now, claims)
    local refused, longest
    for _, cap in ipairs(caps_for(account, text, key)) do
      local stand = caps.stand(cap, now)
      if cap.blocks and stand[1] + stand[2] + amount > cap.most then
        local wait = cap_wait(cap, stand, amount, now)
        if not refused or longest >= 0 and (wait < 0 or wait > longest) then
          refused, longest = {'spend_cap_reached', part, amount, told(cap, stand, wait)}, wait
        end
      end
      claims[#claims + 1] = {part, stand[3][1][1], stand[3][1][2], amount}
    end
    return refused
  end

  -- The text of a hold that counts in these.
  function caps.text(text, claims)
    if #claims == 0 then return text end
    local texts = {}
    for index, claim in ipairs(claims) do texts[index] = string.format('%d:%s', claim[1], claim[2]) end
    return text .. ' *' .. table.concat(texts, ',')
  end

  function caps.claim(payer, claims)
    for _, claim in ipairs(claims) do
      count(payer, claim[2], 0, claim[4], string.format('%.0f', claim[3] + COUNTER_KEPT_MS))
    end
  end

  -- The counters of caps that the text of a hold names, each with its part.
  local function claimed_of_caps(text)
    return string.gmatch(string.match(text, ' %*(%d:%S+) ?%+?%d*$') or '', '(%d):([^,]+)')
  end

  -- A part of a hold holds more or less by `held`, and `spent` was charged. Answers what was counted, for its line.
  function caps.count(text, part, held, spent)
    local counted = {}
    for of, name in claimed_of_caps(text) do
      if tonumber(of) == part and has_counter(name) then
        local position = add_to_counter(name, spent, held)
        if spent > 0 then counted[#counted + 1] = string.format('%s+%.0f=%.0f', name, spent, position) end
      end
    end
    return table.concat(counted, ',')
  end

  -- The refusal of so much more for a hold that counts in caps already. A cap whose window is over lets it grow.
  function caps.beyond_claimed(account, text, amount, part, now)
    local names = {}
    for of, name in claimed_of_caps(text) do
      if tonumber(of) == part then names[name] = true end
    end
    if not next(names) then return nil end
    local asking, unit = customer_of(text), unit_of(account)
    local payer = string.match(account.name, '^%S+')
    for _, whose in ipairs(asking == payer and {payer} or {payer, asking}) do
      for _, cap in ipairs(caps.of(whose, unit)) do
        local stand, counts = caps.stand(cap, now), false
        for _, each in ipairs(stand[3]) do counts = counts or names[each[1]] end
        if cap.blocks and counts and stand[1] + stand[2] + amount > cap.most then
          return {'spend_cap_reached', part, amount, told(cap, stand, cap_wait(cap, stand, amount, now))}
        end
      end
    end
  end

  -- An account is not marked any more when its unit has no caps, and no hold can count in any.
  function caps.unmark(account)
    if account[WAITING] < CAPPED or redis.call('HEXISTS', PAYER, 'capped:' .. unit_of(account)) == 1 then return end
    if string.find(redis.call('HGET', PAYER, 'counters') or '', 'spend:', 1, true) then return end
    mark(account, account[WAITING] - CAPPED)
  end
end
