local function sieve(limit)
  local composite, primes = {}, {}
  for n = 2, limit do
    if not composite[n] then
      primes[#primes + 1] = n
      for m = n * n, limit, n do composite[m] = true end
    end
  end
  return primes
end
local primes = sieve(50000)
print("primes", #primes, primes[#primes])
local sum = 0.0
for i = 1, 100000 do sum = sum + 1 / (i * i) end
print("float", string.format("%.17g %.17g", sum, math.sin(1.25)))
print("integer", 0x7fffffffffffffff + 1 == math.mininteger, 7 // -2, -7 % 3, 1 << 63)
local words = {}
for i = 1, 5000 do words[i] = string.format("%05d", i * 7919 % 5003) end
table.sort(words)
print("sort", words[1], words[2500], words[5000])
print("strings", ("x"):rep(5, "-"), ("hello world"):gsub("o", "0"), ("key=value"):match("(%w+)=(%w+)"))
local producer = coroutine.wrap(function() for i = 1, 1000 do coroutine.yield(i) end end)
local total = 0
for value in producer do total = total + value end
print("coroutines", total)
local garbage = 0
for i = 1, 100000 do local t = { i }; garbage = garbage + #t end
collectgarbage()
print("garbage", garbage)
