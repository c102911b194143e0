-- Removes shared keys of another type than they should have, and totals that are no numbers.
--
-- KEYS[1]  the hash of totals
-- KEYS     all keys to look at, that one among them
-- ARGV     the type that each should have
--
-- Returns what was removed: keys, and 'key field' for a total.
local removed = {}
for i, key in ipairs(KEYS) do
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= ARGV[i] then
    redis.call('DEL', key)
    removed[#removed + 1] = key
  end
end
local totals = redis.call('HGETALL', KEYS[1])
for i = 1, #totals, 2 do
  if #totals[i + 1] > 18 or not string.find(totals[i + 1], '^%d+$') then
    redis.call('HDEL', KEYS[1], totals[i])
    removed[#removed + 1] = KEYS[1] .. ' ' .. totals[i]
  end
end
return removed
