-- Counts a change of ratings in the hash of the rankings that were computed from them.
--
-- KEYS     the hashes
-- ARGV[1]  the field that counts changes
-- ARGV[2]  time to live of a hash, seconds
--
-- Where nothing can be counted the key is removed: then there is no ranking either that somebody could take
-- for fresh.
for i, key in ipairs(KEYS) do
  local outcome = redis.pcall('HINCRBY', key, ARGV[1], 1)
  if type(outcome) == 'table' and outcome.err then
    redis.call('DEL', key)
    redis.call('HINCRBY', key, ARGV[1], 1)
  end
  redis.call('EXPIRE', key, ARGV[2])
end
