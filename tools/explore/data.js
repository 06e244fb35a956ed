/* SPDX-License-Identifier: MIT */
/* The page's data: blocks of base64, raw deflate and JSON, inflated when asked for; the forest as flat arrays over all features.
 *
 * A feature is a number g = base[level] + index everywhere in these scripts; parents have smaller numbers than their children. */

const KEPT_BLOCKS = 48;
const blocks = new Map();

/* Bytes of a block, or null. */
function blockBytes(name) {
  const element = document.getElementById(name);
  if (!element || element.type !== 'application/octet-stream')
    return null;
  const text = element.textContent;
  if (Uint8Array.fromBase64)
    return Uint8Array.fromBase64(text);
  const binary = atob(text), bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++)
    bytes[i] = binary.charCodeAt(i);
  return bytes;
}

async function inflate(name) {
  const bytes = blockBytes(name);
  if (!bytes)
    return null;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
  return JSON.parse(await new Response(stream).text());
}

/* A block's object, null if the page has none of that name; the last few are kept. */
function load(name) {
  let promise = blocks.get(name);
  if (promise)
    blocks.delete(name);
  else
    promise = inflate(name);
  blocks.set(name, promise);
  if (blocks.size > KEPT_BLOCKS)
    blocks.delete(blocks.keys().next().value);
  return promise;
}

/* The whole forest. Set once by openForest. */
const forest = {index: null, strings: [], levels: 0, count: 0, base: [], level: null, parent: null, firstChild: null, childList: null, leaves: null};

/* Null becomes NaN. */
function column(key) {
  const out = new Float64Array(forest.count);
  forest.index.levels.forEach((level, l) => {
    for (let i = 0; i < level.features; i++)
      out[forest.base[l] + i] = level[key] && level[key][i] !== null ? level[key][i] : NaN;
  });
  return out;
}

function linkForest() {
  const {count, base} = forest;
  forest.parent = new Int32Array(count).fill(-1);
  forest.level = new Uint8Array(count);
  forest.childCount = new Int32Array(count);
  forest.index.levels.forEach((level, l) => {
    forest.level.fill(l, base[l], base[l] + level.features);
    for (let i = 0; l > 0 && i < level.features; i++)
      if (level.parent && level.parent[i] >= 0) {
        forest.parent[base[l] + i] = base[l - 1] + level.parent[i];
        forest.childCount[base[l - 1] + level.parent[i]]++;
      }
  });
  forest.firstChild = new Int32Array(count + 1);
  for (let g = 0; g < count; g++)
    forest.firstChild[g + 1] = forest.firstChild[g] + forest.childCount[g];
  const next = forest.firstChild.slice();
  forest.childList = new Int32Array(forest.firstChild[count]);
  for (let g = 0; g < count; g++)
    if (forest.parent[g] >= 0)
      forest.childList[next[forest.parent[g]]++] = g;
  forest.leaves = new Int32Array(count);
  for (let g = count - 1; g >= 0; g--) {
    forest.leaves[g] ||= 1;
    if (forest.parent[g] >= 0)
      forest.leaves[forest.parent[g]] += forest.leaves[g];
  }
}

async function openForest() {
  const [index, tokens] = await Promise.all([load('index'), load('tokens')]);
  if (!index || !tokens)
    throw new Error('This page holds no forest: its data are missing.');
  if (index.version !== 1)
    throw new Error('This page holds data of version ' + index.version + '; its script reads version 1.');
  blocks.clear();
  forest.index = index;
  forest.strings = tokens.strings;
  forest.levels = index.levels.length;
  for (const level of index.levels) {
    forest.base.push(forest.count);
    forest.count += level.features;
  }
  linkForest();
  for (const key of ['density', 'mean', 'max', 'peak', 'high', 'p_parent', 'p_child', 'together', 'duplicate'])
    forest[key] = column(key);
}

const childrenOf = g => forest.childList.subarray(forest.firstChild[g], forest.firstChild[g + 1]);
const indexOf = g => g - forest.base[forest.level[g]];
const nameOf = g => 'l' + forest.level[g] + '/' + indexOf(g);
/* The activation that is shown in full colour. */
const fullOf = g => forest.high[g] || forest.max[g] || 1;
const isDead = g => !(forest.density[g] > 0);
const topTokens = g => forest.index.levels[forest.level[g]].top[indexOf(g)] || [];

/* The feature "l2/1234" names, or -1. */
function featureNamed(text) {
  const found = /^l?(\d{1,3})\/(\d{1,9})$/i.exec(text);
  return found ? featureAt(+found[1], +found[2]) : -1;
}

function featureAt(level, index) {
  return level < forest.levels && index < forest.index.levels[level].features ? forest.base[level] + index : -1;
}

/* From the root down to g. */
function lineage(g) {
  const line = [];
  for (let at = g; at >= 0; at = forest.parent[at])
    line.unshift(at);
  return line;
}

/* Once loaded: for each token the features that are active on it, as [g, share of g's activations]. For the search. */
let tokenIndex = null;

async function loadTokenIndex() {
  const found = new Map();
  for (let l = 0; l < forest.levels; l++)
    (await load('words-' + l))?.words.forEach((flat, i) => {
      for (let k = 0; k + 1 < flat.length; k += 2) {
        const list = found.get(flat[k]);
        const entry = [forest.base[l] + i, flat[k + 1] / 1000];
        list ? list.push(entry) : found.set(flat[k], [entry]);
      }
    });
  tokenIndex = found;
}

/* Contexts, histogram and siblings of a feature. */
async function detailsOf(g) {
  const chunk = forest.index.chunk, i = indexOf(g);
  const block = await load('features-' + forest.level[g] + '-' + Math.floor(i / chunk));
  const empty = {histogram: [], contexts: [], siblings: []};
  return block && block.features[i % chunk] || empty;
}

/* The run of kept text around a position, as {first, sequence, ids} joined over blocks; null if it is not kept. */
async function runAt(position) {
  if (isLive(position))
    return liveRun();
  const size = forest.index.text_chunk;
  const find = async at => {
    const block = at >= 0 ? await load('text-' + Math.floor(at / size)) : null;
    return block && block.runs.find(([first, , ids]) => first <= at && at < first + ids.length) || null;
  };
  const run = await find(position);
  if (!run)
    return null;
  let [first, sequence, ids] = run;
  const before = first % size === 0 ? await find(first - 1) : null;
  if (before && before[1] === sequence) {
    first = before[0];
    ids = before[2].concat(ids);
  }
  const after = (first + ids.length) % size === 0 ? await find(first + ids.length) : null;
  return {first, sequence, ids: after && after[1] === sequence ? ids.concat(after[2]) : ids};
}

/* Token ids of a window; -1 where the text is not kept. */
async function windowIds(start, length) {
  const ids = new Array(length).fill(-1), size = forest.index.text_chunk;
  for (let chunk = Math.floor(start / size); chunk * size < start + length; chunk++) {
    const block = await load('text-' + chunk);
    for (const [first, , run] of block ? block.runs : [])
      for (let at = Math.max(first, start); at < Math.min(first + run.length, start + length); at++)
        ids[at - start] = run[at - first];
  }
  return ids;
}

/* The strongest features of each level on a token: [{g, value}..] per level, and how many each level has besides; null if not kept. */
async function pathOf(position) {
  if (isLive(position))
    return livePath(position);
  const block = await load('paths-' + Math.floor(position / forest.index.paths_chunk));
  const entry = block && Object.hasOwn(block.tokens, position) ? block.tokens[position] : null;
  if (!entry)
    return null;
  const levels = forest.base.map((base, l) => pairs(entry[l]).map(([i, value]) => ({g: base + i, value})));
  return {levels, more: entry[forest.levels] || []};
}

/* [a, b, a, b ..] as [[a, b]..]. */
function pairs(flat) {
  const out = [];
  for (let i = 0; i + 1 < flat.length; i += 2)
    out.push([flat[i], flat[i + 1]]);
  return out;
}
