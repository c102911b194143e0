-- Claims all questions of a batch and, if nobody else has any of them, queues their job.
--
-- KEYS     the claim of each question
-- ARGV[1]  what to write into a claim: the job's id
-- ARGV[2]  time to live of a claim, milliseconds
-- ARGV[3]  number of words of the first command that queues the job, then those words, then the next command
--
-- Returns, for each question, the value of a claim that somebody else has, or nil where it is ours now.
-- What is no string where a claim belongs is replaced.
local holders, held = {}, false
for i, key in ipairs(KEYS) do
  if redis.call('SET', key, ARGV[1], 'NX', 'PX', ARGV[2]) then
    holders[i] = false
  else
    local holder = redis.pcall('GET', key)
    if type(holder) == 'table' then
      redis.call('SET', key, ARGV[1], 'PX', ARGV[2])
      holders[i] = false
    else
      holders[i], held = holder, true
    end
  end
end
local at = 3
while not held and at < #ARGV do
  local last = at + tonumber(ARGV[at])
  redis.call(unpack(ARGV, at + 1, last))
  at = last + 1
end
return holders
