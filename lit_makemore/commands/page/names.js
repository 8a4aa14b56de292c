// The network of this page: it says which letter comes next, and draws names.
//
// On a site of your own: copy the two script elements "network" and "names" of this page. Then
//
//     litMakemore.names({ num: 10, seed: 1 })
//
// returns an array of strings. `load` below documents it and its options.
// Nothing is fetched; no name leaves the browser. names.py does the same steps in Python.

const GIVE_UP = 100_000; // draws in a row of which none is wanted
const MAX_CACHED = 2 ** 22; // probabilities that are kept for windows that come again
const MAX_CELLS = 2 ** 21; // places of a condition times tokens, and
const MAX_CHANCES = 2 ** 23; // places times positions, to bound time and memory
const SETTLED = 1e-12; // a chance that changes by less, relative to itself, will not change any more
const ONE = -1, MANY = -2; // items of a pattern that are no token

/**
 * Makes the generator of the text in the element "network".
 *
 * names(options) returns the names. The same seed repeats them in every browser. Options:
 *     num           how many; fewer are returned if no more are found
 *     seed          an integer from 0 to 4294967295
 *     temperature   below 1 likely letters become likelier, above 1 less likely
 *     topP          each letter is one of the likeliest that together have this probability
 *     prefix        what every name begins with
 *     suffix        what every name ends with
 *     pattern       what every name looks like: ? is one character, * any number of them; a backslash
 *                   before one of ?, * and \ makes it an ordinary character
 *     minLength     characters of the shortest name
 *     maxLength     characters of the longest name
 *     unique        whether to give no name twice
 *     onlyNew       whether to leave out the words of the list
 *
 * search(options) finds the same names in small steps, so that a page can do something else between
 * them. It is an iterator of { name }, a name; { name: null }, a draw that is not wanted;
 * { prepared }, the share of a preparation that is done; at its end also { chance }, the share of all
 * names that fit, where it is known. Its last value is whether no name can fit.
 *
 * probabilities(prefix, { temperature, topP }) returns what the next letter is drawn with: first the
 * probability of the end, then those of `chars`. A name has at least one character, and no white
 * space at either end. logits(prefix) returns the logits of the network itself; of a mixture with
 * counts, its log-probabilities.
 *
 * known(name) says whether a name is a word of the list. It is wrong for a few other names:
 * errorRate is their share.
 *
 * A character that no word has makes an Error with this `char` and, if its small letter would do,
 * that one as `instead`.
 */
export function load(text) {
  const data = JSON.parse(text);
  const chars = Array.from(data.chars); // token i is chars[i - 1]; token 0 is the end mark
  const tokenOf = new Map(chars.map((char, i) => [char, i + 1]));
  const spaces = new Set(data.spaces); // the tokens of white space
  const network = makeNetwork(data.network);
  const model = data.counts ? mix(network, makeCounts(data.counts, chars.length + 1), data.weights)
                            : network;
  const known = makeFilter(data.filter);

  function tokenFor(char) {
    if (tokenOf.has(char)) return tokenOf.get(char);
    const lower = char.toLowerCase(), instead = tokenOf.has(lower) ? lower : undefined;
    throw Object.assign(new Error(`No word has a “${char}”.`), { char, instead });
  }

  function tokens(text) {
    return Array.from(text.normalize("NFC"), tokenFor);
  }

  function items(pattern) { // tokens, ONE and MANY; a backslash at the end stands for itself
    const parts = pattern.normalize("NFC").match(/\\[^]|[^]/gu) ?? [];
    const wild = { "?": ONE, "*": MANY };
    return parts.map((part) => wild[part] ?? tokenFor(part.replace(/^\\(?=.)/su, "")));
  }

  function windowAfter(begun) {
    const padding = new Array(data.blockSize).fill(0);
    return [...padding, ...begun].slice(-data.blockSize);
  }

  // Windows to the probabilities that the next token is drawn with.
  function makeDecoder({ temperature = 1, topP = data.topP } = {}) {
    const cache = new Map();
    return (window) => {
      const place = key(window);
      if (!cache.has(place)) {
        const logits = model(window), last = window[window.length - 1]; // 0 where a name begins
        if (last === 0 || spaces.has(last)) logits[0] = -Infinity;
        if (last === 0) for (const token of spaces) logits[token] = -Infinity;
        if (cache.size * logits.length > MAX_CACHED) cache.clear();
        cache.set(place, likeliest(softmax(logits, temperature), topP));
      }
      return cache.get(place);
    };
  }

  function* search({ num = 10, seed = 0, temperature, topP, prefix = "", suffix = "", pattern = "",
                     minLength = 1, maxLength = 100, unique = false, onlyNew = false } = {}) {
    const starts = tokens(prefix), looks = pattern ? items(pattern) : [MANY];
    const automaton = makeAutomaton([[...starts, MANY], looks, [MANY, ...tokens(suffix)]]);
    const wild = [...looks, MANY].findIndex((item) => item < 0); // where the pattern leaves it open
    const begin = wild > starts.length ? looks.slice(0, wild) : starts;
    const state = begin.reduce(automaton.after, 0);
    if (state < 0 || begin.length > maxLength || spaces.has(begin[0])) return true;

    const decode = makeDecoder({ temperature, topP }), random = makeRandom(seed);
    let draw = () => { // a name, or null as soon as it cannot fit
      const name = [...begin];
      for (let at = state; at >= 0 && name.length <= maxLength; at = automaton.after(at, name.at(-1))) {
        const token = choose(decode(windowAfter(name)), random());
        if (token === 0) return automaton.accepts(at) && name.length >= minLength ? name : null;
        name.push(token);
      }
      return null;
    };
    if (suffix || pattern || minLength > Math.max(begin.length, 1)) {
      const limits = { begin, state, minLength, maxLength };
      const exact = yield* condition(automaton, decode, limits);
      if (exact?.chance === 0) return true;
      if (exact) {
        draw = () => exact.draw(random);
        const begins = begin.map((token, i) => decode(windowAfter(begin.slice(0, i)))[token]);
        yield { prepared: 1, chance: begins.reduce((p, each) => p * each, exact.chance) };
      }
    }

    const seen = new Set();
    for (let found = 0, barren = 0; found < num && barren < GIVE_UP;) {
      const drawn = draw(), name = drawn && drawn.map((token) => chars[token - 1]).join("");
      if (drawn && !(onlyNew && known(name)) && !seen.has(name)) {
        if (unique) seen.add(name);
        found++;
        barren = 0;
        yield { name };
      } else {
        barren++;
        yield { name: null };
      }
    }
    return false;
  }

  // Draws names that fit, and none in vain (lit_makemore/sampling/conditioned.py): the chance that a
  // name will fit in the end follows from the chances one character later, and each character is
  // drawn with its share in this sum. A place is a window with a state of the automaton. Null if the
  // places are too many.
  function* condition(automaton, decode, { begin, state, minLength, maxLength }) {
    const size = chars.length + 1, places = [], numbers = new Map();
    const numberOf = (window, state, depth) => {
      const place = `${state} ${key(window)}`;
      if (!numbers.has(place)) {
        numbers.set(place, places.length);
        places.push({ window, state, depth, following: new Int32Array(size).fill(-1) });
      }
      return numbers.get(place);
    };
    numberOf(windowAfter(begin), state, begin.length);
    for (const { window, state, depth, following } of places) { // it grows meanwhile
      for (let token = 1; token < size && depth < maxLength; token++) {
        const after = automaton.after(state, token);
        if (after >= 0) following[token] = numberOf([...window.slice(1), token], after, depth + 1);
      }
      if (places.length * size > MAX_CELLS) return null;
      yield { prepared: 0 };
    }
    for (const [i, place] of places.entries()) {
      place.p = decode(place.window);
      yield { prepared: i / places.length };
    }

    const weight = new Float64Array(size); // is written again and again
    const weights = ({ p, state, following }, later, mayEnd) => {
      weight[0] = mayEnd && automaton.accepts(state) ? p[0] : 0;
      for (let token = 1; token < size; token++) {
        const next = following[token];
        weight[token] = next < 0 ? 0 : p[token] * later[next];
      }
      return weight;
    };
    const never = new Float64Array(places.length), chances = []; // of each position
    let later = never, settled = false, different = 0;
    for (let position = maxLength; position >= begin.length; position--) {
      const mayEnd = position >= minLength;
      if (!(settled && mayEnd)) {
        const chance = new Float64Array(places.length);
        for (const [i, place] of places.entries()) chance[i] = sum(weights(place, later, mayEnd));
        settled = mayEnd && chance.every((value, i) => value - later[i] <= SETTLED * value);
        later = chance;
        if (++different * places.length > MAX_CHANCES) return null;
        yield { prepared: 1 };
      }
      chances[position] = later;
    }
    return {
      chance: later[0],
      draw(random) {
        const name = [...begin];
        for (let place = places[0]; ; place = places[place.following[name.at(-1)]]) {
          const rest = chances[name.length + 1] ?? never;
          const token = choose(weights(place, rest, name.length >= minLength), random());
          if (token === 0) return name;
          name.push(token);
        }
      },
    };
  }

  function names(options) {
    return Array.from(search(options)).filter(({ name }) => name).map(({ name }) => name);
  }

  return {
    chars,
    topP: data.topP,
    logits: (prefix) => model(windowAfter(tokens(prefix))),
    probabilities: (prefix, options) => makeDecoder(options)(windowAfter(tokens(prefix))),
    names,
    search,
    known,
    errorRate: data.filter.errorRate,
  };
}

function bytes(base64) {
  return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
}

function key(window) {
  return String.fromCharCode(...window);
}

function sum(numbers) {
  let total = 0;
  for (let i = 0; i < numbers.length; i++) total += numbers[i];
  return total;
}

function softmax(logits, temperature) {
  const largest = logits.reduce((a, b) => Math.max(a, b));
  const p = logits.map((logit) => Math.exp((logit - largest) / temperature));
  const total = sum(p);
  return p.map((value) => value / total);
}

// The probabilities of the fewest likeliest tokens that together have at least this share.
function likeliest(p, share) {
  if (share >= 1) return p;
  const order = Array.from(p.keys()).sort((a, b) => p[b] - p[a]), kept = p.map(() => 0);
  let reached = 0;
  for (const token of order) {
    if (reached >= share) break;
    kept[token] = p[token];
    reached += p[token];
  }
  return kept.map((value) => value / reached);
}

// The first token whose cumulative probability exceeds a number in [0, 1).
function choose(p, uniform) {
  const threshold = uniform * sum(p);
  let cumulative = 0;
  for (let token = 0; token < p.length; token++) {
    cumulative += p[token];
    if (cumulative > threshold) return token;
  }
}

// Reads a name token by token. A state has, for each pattern, the lengths of the ends of it that the
// rest of the name may fit (Rabin & Scott, 1959). States are numbered from 0, where every name
// begins; a name that cannot fit any more is in state -1.
function makeAutomaton(patterns) {
  const states = [], numbers = new Map();
  const numberOf = (found) => {
    if (found.some((lengths) => lengths.length === 0)) return -1;
    const ends = found.map((lengths) => [...new Set(lengths)].sort((a, b) => a - b));
    const state = JSON.stringify(ends);
    if (!numbers.has(state)) {
      numbers.set(state, states.length);
      states.push({ ends, accepts: ends.every((lengths) => lengths.includes(0)), moves: new Map() });
    }
    return numbers.get(state);
  };
  const closed = (items, length) => { // a MANY may be none
    const none = length > 0 && items.at(-length) === MANY;
    return none ? [length, ...closed(items, length - 1)] : [length];
  };
  const move = (ends, items, token) => ends.filter((length) => length > 0).flatMap((length) => {
    const item = items.at(-length);
    if (item === MANY) return closed(items, length);
    return item === ONE || item === token ? closed(items, length - 1) : [];
  });
  numberOf(patterns.map((items) => closed(items, items.length)));
  return {
    accepts: (state) => states[state].accepts,
    after(state, token) {
      if (state < 0) return state;
      const { ends, moves } = states[state];
      if (!moves.has(token)) {
        moves.set(token, numberOf(patterns.map((items, i) => move(ends[i], items, token))));
      }
      return moves.get(token);
    },
  };
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
      const input = x, y = Float64Array.from(bias);
      for (let j = 0, k = 0; j < y.length; j++) {
        let sum = y[j];
        for (let i = 0; i < input.length; i++) sum += weight[k++] * input[i];
        y[j] = sum;
      }
      x = layer < layers.length - 1 ? y.map(activate) : y;
    });
    return x;
  };
}

// Windows to the log-probabilities of a * network + (1 - a) * counts (lit_makemore/counts/mixture.py).
function mix(network, counts, weights) {
  return (window) => {
    const p = softmax(network(window), 1), { q, total, kinds } = counts(window);
    const entropy = -sum(p.map((value) => (value > 0 ? value * Math.log(value) : 0)));
    const evidence = [1, Math.log(total), Math.log(kinds), entropy];
    const a = 1 / (1 + Math.exp(-sum(weights.map((b, i) => b * evidence[i]))));
    return p.map((value, i) => Math.log(a * value + (1 - a) * q[i]));
  };
}

// Interpolated Kneser-Ney smoothing: windows to probabilities q, and of the longest end of the window
// that was counted, how many tokens follow it, and how many different ones.
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
    let q = new Float64Array(vocabSize).fill(1 / vocabSize), total = 1, kinds = 1;
    for (let n = 0; n <= length; n++) {
      const followers = levels[n].get(key(window.slice(window.length - n)));
      if (!followers) break;
      total = sum(Array.from(followers.values()));
      kinds = followers.size;
      q = q.map((shorter, token) => {
        const kept = Math.max((followers.get(token) ?? 0) - discount, 0);
        return (kept + discount * kinds * shorter) / total;
      });
    }
    return { q, total, kinds };
  };
}

// Whether a word is in the list: a Bloom filter of the words' hashes.
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
