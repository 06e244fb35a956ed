/* SPDX-License-Identifier: MIT */
/* Text that the reader types, where Python's hsae.explore(..., live=) serves the page and runs a language model on it. The answer is one more run
 * of tokens, at positions far above those of the data, so that paths, contexts and cards show it as they show the data.
 *
 * The answer: {tokens: [text..], levels: [level][token] as [feature, activation, feature, activation..], the strongest first}. */

const MAX_LIVE_TEXT = 4000, LIVE_STRONGEST = 10;
const live = {
  address: document.querySelector('meta[name="hsae-live"]')?.content,
  first: 1e14, typed: '', strings: 0, ids: [], levels: [],
};

const isLive = position => position >= live.first && position < live.first + live.ids.length;
const liveRun = () => ({first: live.first, sequence: -1, ids: live.ids});

/* As pathOf. */
function livePath(position) {
  const found = live.levels.map(tokens => pairs(tokens[position - live.first]));
  return {levels: found.map((level, l) => level.slice(0, LIVE_STRONGEST).map(([i, value]) => ({g: forest.base[l] + i, value}))),
    more: found.map(level => Math.max(0, level.length - LIVE_STRONGEST))};
}

/* The answer's strings follow those of the data. */
function takeAnswer({tokens, levels}) {
  live.strings ||= forest.strings.length;
  forest.strings.length = live.strings;
  live.ids = tokens.map((_, k) => live.strings + k);
  live.levels = levels;
  forest.strings.push(...tokens);
}

async function runTyped() {
  const status = $('live-status'), button = $('live-run');
  button.disabled = true;
  status.textContent = 'The model runs \u2026';
  try {
    const response = await fetch(live.address, {method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify({text: live.typed})});
    const answer = await response.json();
    if (!response.ok)
      throw new Error(answer.error);
    takeAnswer(answer);
    status.textContent = plural(live.ids.length, 'token');
  } catch (error) {
    status.textContent = error instanceof TypeError ? 'The Python process does not answer: it has ended, or the page was closed there.' : error.message;
  }
  button.disabled = false;
  if (view.target.kind === 'live')
    showTyped();
}

/* Features by their largest activation on the text over their largest on the data. */
function strongestTyped() {
  const best = new Map();
  live.levels.forEach((tokens, l) => tokens.forEach(flat => pairs(flat).forEach(([i, value]) => {
    const g = forest.base[l] + i, strength = Math.min(1, value / fullOf(g));
    best.set(g, Math.max(best.get(g) || 0, strength));
  })));
  return [...best].sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, 24);
}

function showTyped() {
  const text = make('p', {className: 'text large', role: 'group', 'aria-label': 'The typed text'});
  live.ids.forEach((id, k) => text.append(make('bdi', {className: 'token', 'data-position': live.first + k, role: 'link', tabindex: k ? '-1' : '0', 'aria-label': tokenText(id)}, tokenText(id))));
  const strongest = strongestTyped();
  $('live-answer').replaceChildren(...live.ids.length ? [make('p', {className: 'quiet'}, 'A token leads to its features. A feature\u2019s card colours this text, too.'), text] : [],
    ...strongest.length ? [make('section', {}, make('div', {className: 'family-head'}, make('h3', {}, 'Active on it'), make('span', {className: 'meter-head'}, 'strength')),
      longList(strongest, ([g, strength]) => relativeRow(g, [meter(strength, 'Its largest activation on the text over the one that is shown in full colour')])))] : []);
}

function showLive() {
  const card = $('card');
  card.className = 'live';
  card.setAttribute('aria-label', 'Try a text');
  const box = make('textarea', {id: 'live-text', rows: 4, maxLength: MAX_LIVE_TEXT, value: live.typed, oninput: event => { live.typed = event.target.value; },
    onkeydown: event => { if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) runTyped(); }});
  card.replaceChildren(backButton(), make('h2', {}, 'Try a text'), make('label', {for: 'live-text', className: 'quiet'}, 'The language model runs on it, in the Python process that serves this page.'), box,
    make('div', {className: 'buttons'}, make('button', {type: 'button', id: 'live-run', onclick: runTyped}, 'Run (Ctrl + Enter)'), make('span', {id: 'live-status', className: 'quiet', role: 'status'})),
    make('div', {id: 'live-answer'}));
  showTyped();
}

/* The typed text in the colours of a feature; null where there is none, or the feature is silent on it. */
function typedSection(g) {
  const l = forest.level[g], i = indexOf(g), values = [];
  (live.levels[l] || []).forEach((flat, k) => {
    const found = pairs(flat).find(([feature]) => feature === i);
    if (found)
      values.push([k, found[1]]);
  });
  const peak = values.reduce((best, entry) => entry[1] > best[1] ? entry : best, [-1, 0])[0];
  return values.length ? make('section', {className: 'typed'}, make('h3', {}, 'In your text'), coloured(live.ids, live.first, values, g, peak)) : null;
}
