-- Writes rankings: one command, since for a pipeline of hundreds redis-py alone takes milliseconds.
--
-- KEYS                          the hash of each ranking
-- ARGV[1]                       time to live of a hash, seconds
-- ARGV[2 * i], ARGV[2 * i + 1]  field of the i-th ranking, and the packed ranking
--
-- What is no hash where a ranking belongs is replaced.
for i, key in ipairs(KEYS) do
  local outcome = redis.pcall('HSET', key, ARGV[2 * i], ARGV[2 * i + 1])
  if type(outcome) == 'table' and outcome.err then
    if not string.find(outcome.err, 'WRONGTYPE') then
      return outcome
    end
    redis.call('DEL', key)
    redis.call('HSET', key, ARGV[2 * i], ARGV[2 * i + 1])
  end
  redis.call('EXPIRE', key, ARGV[1])
end
