// The network of this page: it says which letter comes next, and draws names.
//
// On a site of your own: copy the two script elements "network" and "names" of this page. Then
//
//     litMakemore.names({ num: 10, seed: 1 })
//
// returns an array of strings. `load` below documents it and its options.
// Nothing is fetched; no name leaves the browser.

const TRIES = 50; // names drawn for each one that is wanted, at most

/**
 * Makes the generator of the text in the element "network".
 *
 * logits(prefix) and probabilities(prefix, temperature = 1) return an array: the first number is of
 * the end of the name, the others are of `chars`. The logits of a mixture with counts are its
 * log-probabilities. Both throw an Error if the prefix has a character that no training word has.
 *
 * names(options) returns the names. The same seed repeats them in every browser. Options:
 *     num           how many; fewer are returned if 50 * num draws do not give so many
 *     seed          an integer from 0 to 4294967295
 *     temperature   below 1 likely letters become likelier, above 1 less likely
 *     prefix        what every name begins with
 *     minLength     characters of the shortest name
 *     maxLength     characters of the longest name
 *     onlyNew       whether to leave out training words
 *
 * known(name) says whether a name is a training word. It is wrong for a few other names: errorRate
 * is their share.
 */
export function load(text) {
  const data = JSON.parse(text);
  const chars = Array.from(data.chars); // token i is chars[i - 1]; token 0 is the end mark
  const tokenOf = new Map(chars.map((char, i) => [char, i + 1]));
  const network = makeNetwork(data.network);
  const model = data.counts ? mix(network, makeCounts(data.counts, chars.length + 1), data.weight)
                            : network;
  const known = makeFilter(data.filter);

  function tokens(prefix) {
    return Array.from(prefix.normalize("NFC"), (char) => {
      if (tokenOf.has(char)) return tokenOf.get(char);
      const lower = char.toLowerCase(), remedy = tokenOf.has(lower) ? ` Try “${lower}”.` : "";
      throw new Error(`No training word has a “${char}”.${remedy}`);
    });
  }

  function after(begun) { // the logits of the token after these
    const padding = new Array(data.blockSize).fill(0);
    return model([...padding, ...begun].slice(-data.blockSize));
  }

  function names({ num = 10, seed = 0, temperature = 1, prefix = "",
                   minLength = 1, maxLength = 100, onlyNew = false } = {}) {
    const begin = tokens(prefix), random = makeRandom(seed), found = [];
    for (let tries = TRIES * num; tries > 0 && found.length < num; tries--) {
      const name = [...begin];
      while (name.length <= maxLength) {
        const token = choose(softmax(after(name), temperature), random());
        if (token === 0) break;
        name.push(token);
      }
      if (name.length < minLength || name.length > maxLength) continue;
      const spelled = name.map((token) => chars[token - 1]).join("");
      if (!(onlyNew && known(spelled))) found.push(spelled);
    }
    return found;
  }

  return {
    chars,
    logits: (prefix) => after(tokens(prefix)),
    probabilities: (prefix, temperature = 1) => softmax(after(tokens(prefix)), temperature),
    names,
    known,
    errorRate: data.filter.errorRate,
  };
}

function bytes(base64) {
  return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
}

function softmax(logits, temperature) {
  const largest = logits.reduce((a, b) => Math.max(a, b));
  const p = logits.map((logit) => Math.exp((logit - largest) / temperature));
  const sum = p.reduce((a, b) => a + b);
  return p.map((value) => value / sum);
}

// The first token whose cumulative probability exceeds a number in [0, 1).
function choose(p, uniform) {
  const threshold = uniform * p.reduce((a, b) => a + b);
  let sum = 0;
  for (let token = 0; token < p.length; token++) {
    sum += p[token];
    if (sum > threshold) return token;
  }
}

// The generator PCG-RXS-M-XS-32 (O'Neill, 2014, https://www.pcg-random.org), as numbers in [0, 1).
function makeRandom(seed) {
  let state = 0;
  const next = () => {
    const old = state;
    state = (Math.imul(old, 747796405) + 2891336453) >>> 0;
    const word = Math.imul((old >>> ((old >>> 28) + 4)) ^ old, 277803737) >>> 0;
    return ((word >>> 22) ^ word) >>> 0;
  };
  next();
  state = (state + seed) >>> 0;
  next();
  return () => next() / 2 ** 32;
}

// Windows of tokens to logits: embedding, then linear layers with an activation between them.
function makeNetwork({ embedding: [vocabSize, embeddingSize], layers: sizes, activation, parameters }) {
  const numbers = new Float32Array(bytes(parameters).buffer);
  let at = 0;
  const next = (size) => numbers.subarray(at, (at += size));
  const embedding = next(vocabSize * embeddingSize);
  const layers = sizes.map(([outputs, inputs]) => {
    return { weight: next(outputs * inputs), bias: next(outputs) };
  });
  const activate = { tanh: Math.tanh, relu: (x) => Math.max(x, 0), linear: (x) => x }[activation];

  return (window) => {
    let x = new Float64Array(window.length * embeddingSize);
    window.forEach((token, t) => {
      x.set(embedding.subarray(token * embeddingSize, (token + 1) * embeddingSize), t * embeddingSize);
    });
    layers.forEach(({ weight, bias }, layer) => {
      const y = Float64Array.from(bias, (sum, j) => {
        for (let i = 0; i < x.length; i++) sum += weight[j * x.length + i] * x[i];
        return sum;
      });
      x = layer < layers.length - 1 ? y.map(activate) : y;
    });
    return x;
  };
}

// Windows to the log-probabilities of weight * network + (1 - weight) * counts.
function mix(network, counts, weight) {
  return (window) => {
    const q = counts(window);
    return softmax(network(window), 1).map((p, i) => Math.log(weight * p + (1 - weight) * q[i]));
  };
}

// Interpolated Kneser-Ney smoothing: windows to probabilities.
// rows: for each distinct window with its next token, how many tokens it has in common with the row
// before, its other tokens, and how often it occurs; numbers of seven bits a byte, the lowest first.
function makeCounts({ rows, width, discount }, vocabSize) {
  const length = width - 1; // of a window
  // levels[n]: what follows the last n tokens of a window. The key of a window is a string.
  const levels = Array.from({ length: width }, () => new Map());
  const add = (level, window, token, count) => {
    if (!level.has(window)) level.set(window, new Map());
    const followers = level.get(window);
    followers.set(token, (followers.get(token) ?? 0) + count);
  };
  const key = (window) => String.fromCharCode(...window);

  const packed = bytes(rows);
  let at = 0;
  const next = () => {
    let value = 0, scale = 1;
    for (; packed[at] > 127; scale *= 128) value += (packed[at++] - 128) * scale;
    return value + packed[at++] * scale;
  };
  const row = [];
  while (at < packed.length) {
    for (let i = next(); i < width; i++) row[i] = next();
    add(levels[length], key(row.slice(0, length)), row[length], next());
  }
  for (let n = length; n > 0; n--) { // shorter windows count the distinct tokens before them
    for (const [window, followers] of levels[n]) {
      for (const token of followers.keys()) add(levels[n - 1], window.slice(1), token, 1);
    }
  }

  return (window) => {
    let p = new Float64Array(vocabSize).fill(1 / vocabSize);
    for (let n = 0; n <= length; n++) {
      const followers = levels[n].get(key(window.slice(window.length - n)));
      if (!followers) break;
      let total = 0;
      for (const count of followers.values()) total += count;
      p = p.map((shorter, token) => {
        const kept = Math.max((followers.get(token) ?? 0) - discount, 0);
        return (kept + discount * followers.size * shorter) / total;
      });
    }
    return p;
  };
}

// Whether a word was trained on: a Bloom filter of the words' hashes.
function makeFilter({ bits, positions }) {
  const packed = bytes(bits), size = 8 * packed.length;
  return (word) => {
    const hash = blake2b(new TextEncoder().encode(word));
    const lower = Number(hash & 0xffffffffn), upper = Number((hash >> 32n) | 1n);
    for (let i = 0; i < positions; i++) {
      const position = (lower + i * upper) % size;
      if (!((packed[position >> 3] >> (position & 7)) & 1)) return false;
    }
    return true;
  };
}

// BLAKE2b with a digest of 8 bytes, as one integer (RFC 7693).
function blake2b(message) {
  const IV = [
    0x6a09e667f3bcc908n, 0xbb67ae8584caa73bn, 0x3c6ef372fe94f82bn, 0xa54ff53a5f1d36f1n,
    0x510e527fade682d1n, 0x9b05688c2b3e6c1fn, 0x1f83d9abfb41bd6bn, 0x5be0cd19137e2179n,
  ];
  const ORDER = [ // of the block's words in each round, as hexadecimal digits
    "0123456789abcdef", "ea489fd61c02b753", "b8c052fdae367194", "7931dcbe265a40f8",
    "905724afe1bc683d", "2c6a0b834d75fe19", "c51fed4a0763928b", "db7ec13950f4862a",
    "6fe9b308c2d714a5", "a2847615fb9e3cd0",
  ];
  const COLUMNS_THEN_DIAGONALS = [
    [0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15],
    [0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14],
  ];
  const u64 = (x) => BigInt.asUintN(64, x);
  const rotated = (x, n) => u64((x >> n) | (x << (64n - n)));

  const h = [...IV];
  h[0] ^= 0x01010008n; // no key, a digest of 8 bytes
  const blocks = Math.max(1, Math.ceil(message.length / 128));
  for (let block = 0; block < blocks; block++) {
    const view = new DataView(new ArrayBuffer(128));
    message.subarray(128 * block, 128 * (block + 1)).forEach((byte, i) => view.setUint8(i, byte));
    const m = Array.from({ length: 16 }, (_, i) => view.getBigUint64(8 * i, true));
    const v = [...h, ...IV];
    v[12] ^= BigInt(Math.min(128 * (block + 1), message.length)); // bytes so far
    if (block === blocks - 1) v[14] = u64(~v[14]);
    for (let round = 0; round < 12; round++) {
      const order = Array.from(ORDER[round % 10], (digit) => m[parseInt(digit, 16)]);
      COLUMNS_THEN_DIAGONALS.forEach(([a, b, c, d], i) => {
        v[a] = u64(v[a] + v[b] + order[2 * i]);
        v[d] = rotated(v[d] ^ v[a], 32n);
        v[c] = u64(v[c] + v[d]);
        v[b] = rotated(v[b] ^ v[c], 24n);
        v[a] = u64(v[a] + v[b] + order[2 * i + 1]);
        v[d] = rotated(v[d] ^ v[a], 16n);
        v[c] = u64(v[c] + v[d]);
        v[b] = rotated(v[b] ^ v[c], 63n);
      });
    }
    h.forEach((_, i) => { h[i] ^= v[i] ^ v[i + 8]; });
  }
  return h[0];
}
