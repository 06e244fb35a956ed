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
  const pair = figures => [number(figures.hamming), number(figures.p_parent_given_child), number(figures.p_child_given_parent)];
  const tables = [table('Levels, on ' + plural(evaluation.tokens, 'token') + leftOut, ['level', 'features', 'L0', 'dead', 'variance explained', 'per token'],
    [...levels.map((figures, l) => [String(l), number(figures.features), ...row(figures)]), ['mean', '', ...row(mean)]])];
  if (pairRows.length)
    tables.push(table('Pairs of levels', ['pair', 'assigned', 'Hamming', 'P(p|c)', 'P(c|p)'],
      [...pairRows.map((figures, l) => [l + '\u2013' + (l + 1), number(figures.assigned), ...pair(figures)]), ['mean', '', ...pair(mean)]]));
  return tables;
}

/* The features with the most of something, as links. */
function showcase(title, text, key, among) {
  const list = [];
  for (let g = 0; g < forest.count; g++)
    if (among(g))
      list.push(g);
  list.sort((a, b) => key(b) - key(a));
  return list.length ? make('section', {className: 'showcase'}, make('h3', {}, title), make('ul', {className: 'family'},
    ...list.slice(0, 6).map(g => make('li', {className: 'relative'}, featureLink(g, chips(g, 4)), make('span', {className: 'meter-head'}, text(g)))))) : null;
}

/* Chains whose every step is sure: the deepest features by the product of P(p|c) on the way up, of those not too rare. */
function surest(g) {
  let sure = 1;
  for (let at = g; forest.parent[at] >= 0; at = forest.parent[at])
    sure *= forest.p_parent[at] || 0;
  return sure * Math.sqrt(Math.min(1, forest.density[g] * forest.index.data.tokens / 20));
}

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
  card.replaceChildren(make('h2', {}, index.title || 'Forest of features'),
    make('p', {className: 'lead'}, plural(forest.count, 'feature') + ' that a hierarchical sparse autoencoder found in ' + plural(index.data.tokens, 'activation vector')
      + ': coarse ones at the roots, finer ones below. Pick one, or search for a word.'),
    make('ul', {className: 'levels-list'}, ...perLevel),
    ...[showcase('Chains that hold', g => number(surestShare(g)), surest, g => forest.level[g] === forest.levels - 1 && forest.level[lineage(g)[0]] === 0 && !isDead(g) && forest.levels > 1),
      showcase('Largest families', g => plural(forest.leaves[g], 'leaf', 'leaves'), g => forest.leaves[g], g => forest.level[g] === 0 && forest.childCount[g] > 0),
      showcase('Strongest', g => number(forest.max[g]), g => forest.max[g], g => !isDead(g))].filter(Boolean),
    make('p', {className: 'quiet'}, 'Chains that hold: the share in which each parent is active when the child is, multiplied up to the root.'));
  card.scrollTop = 0;
}

function surestShare(g) {
  let sure = 1;
  for (let at = g; forest.parent[at] >= 0; at = forest.parent[at])
    sure *= forest.p_parent[at] || 0;
  return sure;
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
    facts('Data', [['files', index.data.paths.map(text).join(', ')], ['tokens', number(index.data.tokens)], ['sequences', number(index.data.sequences)]]),
    make('h3', {}, 'Evaluation'), ...evaluationTables(index.evaluation),
    make('h3', {}, 'What the numbers mean'),
    make('dl', {className: 'meanings'}, ...[
      meaning('activation', 'a = E\u00b7x + b where above the feature\u2019s threshold, else 0; x is the normalised activation vector (mean square norm = its width).'),
      meaning('density', MEANINGS.density + '.'), meaning('dead', 'Never active on these data.'),
      meaning('mean, max', 'Over the tokens on which the feature is active.'),
      meaning('P(p|c)', MEANINGS.p_parent + '.'), meaning('P(c|p)', MEANINGS.p_child + '.'),
      meaning('together', MEANINGS.siblings + '.'),
      meaning('q', 'In sampled contexts: the share of the feature\u2019s activations that are at most as strong as the one at the peak.'),
      meaning('L0', 'Active features per token, mean.'),
      meaning('variance explained', '1 \u2212 \u03a3\u2016x \u2212 x\u0302\u2016\u00b2 / \u03a3\u2016x \u2212 mean\u2016\u00b2 over the evaluated tokens; \u201cper token\u201d: mean of that ratio token by token.'),
      meaning('Hamming', 'Mean over tokens of how many features with children are active though no child is, or silent though one is.'),
    ].flatMap(([name, sentence]) => [make('dt', {}, name), make('dd', {}, sentence)])),
    facts('Configuration', Object.entries(index.model.config || {}).map(([key, value]) => [key, text(value)])));
  card.scrollTop = 0;
}
