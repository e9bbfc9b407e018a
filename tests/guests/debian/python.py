import collections, decimal, fractions, functools, hashlib, json, math, operator, re, struct, zlib

text = b"".join(struct.pack("<Id", n * 2654435761 & 0xFFFFFFFF, math.sqrt(n)) for n in range(5000))
print("sha256", hashlib.sha256(text).hexdigest())
print("crc32", zlib.crc32(text), len(zlib.compress(text, 9)) > 0 and zlib.decompress(zlib.compress(text, 9)) == text)

def pi(digits):
    q, r, t, k, n, l = 1, 0, 1, 1, 3, 3
    out = []
    while len(out) < digits:
        if 4 * q + r - t < n * t:
            out.append(str(n))
            q, r, n = 10 * q, 10 * (r - n * t), 10 * (3 * q + r) // t - 10 * n
        else:
            q, r, t, k, n, l = q * k, (2 * q + r) * l, t * l, k + 1, (q * (7 * k + 2) + r * l) // (t * l), l + 2
    return "".join(out)

print("pi", pi(300)[-20:])
print("float", repr(functools.reduce(operator.add, (1.0 / n for n in range(1, 20000)))), repr(math.fsum([0.1] * 10)), float.hex(math.exp(1.5)))
print("fraction", sum((fractions.Fraction(1, n) for n in range(1, 40)), fractions.Fraction(0)))
decimal.getcontext().prec = 60
print("decimal", decimal.Decimal(2).sqrt())
words = re.findall(r"[a-z]+", "the quick brown fox jumps over the lazy dog and the fox sleeps" * 50)
print("words", collections.Counter(words).most_common(3))
print("json", json.dumps(json.loads('{"b": [1, 2.5e-300, true, null], "a": "\\u00e9"}'), sort_keys=True))
print("big", pow(3, 1000003, 10**30 + 57), hash((1, 2.5)) == hash((1, 2.5)))
