/* SPDX-License-Identifier: MIT */
/* What stands in the card's place: the overview, and what the page is made of. */

function table(caption, head, rows) {
  return make('div', {className: 'table-box', tabindex: '0', role: 'region', 'aria-label': caption}, make('table', {}, make('caption', {}, caption),
    make('thead', {}, make('tr', {}, ...head.map(text => make('th', {scope: 'col'}, text)))),
    make('tbody', {}, ...rows.map(([first, ...cells]) => make('tr', {}, make('th', {scope: 'row'}, first), ...cells.map(cell => make('td', {}, cell)))))));
}

function evaluationTables(evaluation) {
  const {levels, pairs: pairRows, mean, left_out: without} = evaluation;
  const leftOut = without ? ', without ' + plural(without, 'row') + ' of too large a norm or with values that are not finite' : '';
  const row = figures => [number(figures.l0), percent(figures.dead_fraction), number(figures.variance_explained), number(figures.variance_explained_legacy)];
  const pair = figures => [number(figures.hamming), number(figures.p_parent_given_child), number(figures.p_child_given_parent), number(figures.lift), percent(figures.duplicates), percent(figures.largest_share)];
  const tables = [table('Levels, on ' + plural(evaluation.tokens, 'token') + leftOut, ['level', 'features', 'L0', 'dead', 'variance explained', 'per token'],
    [...levels.map((figures, l) => [String(l), number(figures.features), ...row(figures)]), ['mean', '', ...row(mean)]])];
  if (pairRows.length)
    tables.push(table('Pairs of levels', ['pair', 'assigned', 'Hamming', 'P(p|c)', 'P(c|p)', 'lift', 'duplicates', 'largest family'],
      [...pairRows.map((figures, l) => [l + '\u2013' + (l + 1), number(figures.assigned), ...pair(figures)]), ['mean', '', ...pair(mean)]]));
  return tables;
}

/* Features with a figure each, the largest figure first; at most six. */
function showcase(title, meaning, entries, content = g => chips(g, 4)) {
  entries.sort((a, b) => b.rank - a.rank || a.g - b.g);
  return entries.length ? make('section', {className: 'showcase'}, make('h3', {}, title), make('p', {className: 'quiet'}, meaning), make('ul', {className: 'family'},
    ...entries.slice(0, 6).map(({g, text}) => make('li', {className: 'relative'}, featureLink(g, content(g)), make('span', {className: 'meter-head'}, text))))) : null;
}

const FEW_TOKENS = 20;
const tokensOf = g => (forest.density[g] || 0) * forest.index.data.tokens;
/* Words of three letters or more say something; marks, pieces and single letters do not. */
const wordy = [];
const isWordy = id => wordy[id] ??= /\p{L}{3}/u.test(forest.strings[id]);
const saysSomething = g => Boolean(labelOf(g)) || topTokens(g).slice(0, 2).every(isWordy);
const firstWord = g => labelOf(g) || (topTokens(g).length ? wordText(topTokens(g)[0]).toLowerCase() : '');
const isDuplicate = g => forest.duplicate[g] > 0;

/* Children that refine a parent: its own (high P(p|c)), not the whole of it, not too rare, seldom with a sibling. */
function refining(g) {
  const words = new Set();
  return Array.from(childrenOf(g)).filter(child => forest.p_parent[child] >= 0.6 && forest.p_child[child] < 0.9 && tokensOf(child) >= FEW_TOKENS && forest.together[child] < 0.5)
    .map(child => [merit(child), child]).sort((a, b) => b[0] - a[0]).map(([, child]) => child).filter(child => {
      const word = firstWord(child);
      const fresh = word && !words.has(word);
      words.add(word);
      return fresh;
    });
}

const merit = child => forest.p_parent[child] * (1 - forest.together[child]) * (saysSomething(child) ? 1 : 0.3);

function familiesThatSplit() {
  const found = [];
  for (let g = 0; g < forest.count; g++) {
    const children = forest.childCount[g] > 1 && forest.density[g] < 0.3 ? refining(g) : [];
    if (children.length > 1)
      found.push({g, rank: children.slice(0, 5).reduce((sum, child) => sum + merit(child), 0) * (saysSomething(g) ? 1 : 0.5), text: plural(children.length, 'child', 'children')});
  }
  return found;
}

/* Chains from the root to the last level whose every step holds and narrows; one of each root. */
function chainsThatHold() {
  const {count, parent, level, p_parent} = forest, sure = new Float64Array(count), root = new Int32Array(count).fill(-1), best = new Map();
  for (let g = 0; g < count; g++) {
    if (level[g] === 0 || parent[g] >= 0 && root[parent[g]] >= 0 && !isDuplicate(g)) {
      sure[g] = level[g] ? sure[parent[g]] * (p_parent[g] || 0) : 1;
      root[g] = level[g] ? root[parent[g]] : g;
    }
    if (level[g] > 0 && level[g] === forest.levels - 1 && sure[g] > 0.3 && !(best.get(root[g])?.rank >= sure[g]) && tokensOf(g) >= FEW_TOKENS && saysSomething(g) && firstWord(g) !== firstWord(root[g]))
      best.set(root[g], {g, rank: sure[g], text: number(sure[g])});
  }
  return [...best.values()];
}

function largestFamilies() {
  return Array.from({length: forest.index.levels[0].features}, (_, g) => g).filter(g => forest.childCount[g])
    .map(g => ({g, rank: forest.leaves[g], text: plural(forest.leaves[g], 'leaf', 'leaves')}));
}

function suspicious() {
  const found = [];
  for (let g = 0; g < forest.count; g++)
    if (!isDead(g)) {
      if (isDuplicate(g))
        found.push({g, rank: 1 + forest.p_child[g], text: 'duplicates its parent'});
      else if (forest.density[g] > 0.2)
        found.push({g, rank: forest.density[g], text: 'on ' + percent(forest.density[g])});
      else if (!(forest.peak[g] > 0))
        found.push({g, rank: 3, text: 'outliers only'});
    }
  return found;
}

/* A parent's words, and those of the children that refine it. */
const split = g => make('span', {className: 'split'}, chips(g, 2), make('span', {className: 'into', 'aria-hidden': 'true'}, '\u25b8'),
  ...refining(g).slice(0, 5).map(child => make('bdi', {className: labelOf(child) ? 'label' : 'chip'}, labelOf(child) ? visible(labelOf(child)) : wordText(topTokens(child)[0]))));

function showHome() {
  const {index} = forest, card = $('card');
  const perLevel = index.levels.map((level, l) => {
    let dead = 0, orphans = 0;
    for (let g = forest.base[l]; g < forest.base[l] + level.features; g++) {
      dead += isDead(g);
      orphans += forest.parent[g] < 0;
    }
    return make('li', {className: levelClass(l)}, make('span', {className: 'dot', 'aria-hidden': 'true'}), make('strong', {}, 'Level ' + l), ' ' + plural(level.features, 'feature') + ', ' + number(dead) + ' dead'
      + (l ? ', ' + number(orphans) + ' without a parent' : ''));
  });
  card.className = 'home';
  card.setAttribute('aria-label', 'Overview');
  card.replaceChildren(backButton(), make('h2', {}, index.title || 'Forest of features'),
    make('p', {className: 'lead'}, plural(forest.count, 'feature') + ' that a hierarchical sparse autoencoder found in ' + plural(index.data.tokens, 'activation vector')
      + ': coarse ones at the roots, finer ones below. Pick one, or search for a word.'),
    make('ul', {className: 'levels-list'}, ...perLevel),
    ...[showcase('Families that split', 'Parents whose children are theirs alone, apart from each other, and about different things.', familiesThatSplit(), split),
      showcase('Chains that hold', 'Each parent is active when its child is, and the last is about something else than the root: the shares P(p|c), multiplied up.', chainsThatHold()),
      showcase('Largest families', 'Roots by the features below them that have no children.', largestFamilies()),
      showcase('Suspicious', 'Duplicates of their parent, features on more than a fifth of all tokens, features of outliers.', suspicious())].filter(Boolean));
  card.scrollTop = 0;
}

function showAbout() {
  const {index} = forest, card = $('card');
  const text = value => typeof value === 'object' ? JSON.stringify(value) : String(value);
  const facts = (title, entries) => make('section', {}, make('h3', {}, title), make('dl', {className: 'facts'}, ...entries.flatMap(([key, value]) => [make('dt', {}, key), make('dd', {}, make('bdi', {}, value))])));
  const meaning = (name, sentence) => [name, sentence];
  card.className = 'about';
  card.setAttribute('aria-label', 'About this page');
  card.replaceChildren(backButton(), make('h2', {}, 'About this page'),
    make('p', {}, 'One file, made by ' + index.created_by + ' (hsae explore): it ran the model over the data once and kept, for each feature, its strongest contexts and some sampled from strong to weak. The page asks for no network. It opened in '
      + Math.round(opened.ready || performance.now()) + ' ms.'),
    facts('Model', [['file', text(index.model.path)], ['width of an activation vector', number(index.model.dim)]]),
    facts('Data', [['files', index.data.paths.map(text).join(', ')], ['tokens', number(index.data.tokens)], ['sequences', number(index.data.sequences)], ['outliers', number(index.data.outliers) + ' (tokens with far longer vectors than the others; they give no contexts and no words)']]),
    make('h3', {}, 'Evaluation'), ...evaluationTables(index.evaluation),
    make('h3', {}, 'What the numbers mean'),
    make('dl', {className: 'meanings'}, ...[
      meaning('activation', 'a = E\u00b7x + b where above the feature\u2019s threshold, else 0; x is the normalised activation vector (mean square norm = its width).'),
      meaning('words', 'Tokens by the share of the feature\u2019s activations that are on them, over how frequent they are; shown as the whole words they are part of.'),
      meaning('density', MEANINGS.density + '.'), meaning('dead', 'Never active on these data.'),
      meaning('99 %', MEANINGS.high + '.'), meaning('mean, max', 'Over the tokens on which the feature is active.'),
      meaning('P(p|c)', MEANINGS.p_parent + '.'), meaning('P(c|p)', MEANINGS.p_child + '.'),
      meaning('lift', 'P(p|c) over the share of tokens on which the parent is active: the median of the pairs. 1 is what chance gives.'),
      meaning('duplicates', 'Children that hardly differ from their parent: the cosine of their decoder rows is above 0.7, and so is the correlation of being active.'),
      meaning('largest family', 'Share of a level\u2019s children that the parent with the most of them has.'),
      meaning('together', MEANINGS.siblings + '.'),
      meaning('q', 'In sampled contexts: the share of the feature\u2019s activations that are at most as strong as the one at the peak.'),
      meaning('L0', 'Active features per token, mean.'),
      meaning('variance explained', '1 \u2212 \u03a3\u2016x \u2212 x\u0302\u2016\u00b2 / \u03a3\u2016x \u2212 mean\u2016\u00b2 over the evaluated tokens; \u201cper token\u201d: mean of that ratio token by token.'),
      meaning('Hamming', 'Mean over tokens of how many features with children are active though no child is, or silent though one is.'),
    ].flatMap(([name, sentence]) => [make('dt', {}, name), make('dd', {}, sentence)])),
    facts('Configuration', Object.entries(index.model.config || {}).map(([key, value]) => [key, text(value)])));
  card.scrollTop = 0;
}
