-- Reads rankings and how often the ratings behind them have changed: one command, since for a pipeline of 64
-- redis-py alone takes a millisecond.
--
-- KEYS           the hash of each ranking
-- ARGV[1..n]     its field in that hash, n = #KEYS
-- ARGV[n + 1]    the field that counts changes, the same for all
--
-- Returns two values for each key: the packed ranking and the count, nil for what is not there.
-- A key that is no hash, or whose count is no number, is removed: nobody can say what is fresh there, so it is
-- computed anew.
local found = {}
for i, key in ipairs(KEYS) do
  local fields = redis.pcall('HMGET', key, ARGV[i], ARGV[#KEYS + 1])
  local changes = not fields.err and fields[2]
  if fields.err and not string.find(fields.err, 'WRONGTYPE') then
    return fields
  elseif fields.err or changes and (#changes > 9 or not string.find(changes, '^%d+$')) then
    redis.pcall('DEL', key)
    fields = {false, false}
  end
  found[2 * i - 1], found[2 * i] = fields[1], fields[2]
end
return found
