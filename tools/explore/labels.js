/* SPDX-License-Identifier: MIT */
/* Labels, notes, bookmarks and scores: those that the page came with, and those that its reader makes, which the browser keeps until they are
 * saved as a file. The file's lines are those that hsae explore --labels reads. */

const NOTHING = Object.freeze({label: '', note: '', score: null, marked: false});
/* What the program takes, in bytes; a UTF-16 unit is at most three. */
const MAX_LABEL = 170, MAX_NOTE = 2700;

const labels = {
  given: new Map(), mine: new Map(), edges: new Map(), judged: null, key: '',

  of: g => labels.mine.get(g) || labels.given.get(g) || NOTHING,

  /* Features of which something is said, in their order. */
  all: () => [...new Set([...labels.given.keys(), ...labels.mine.keys()])].filter(g => !labels.isEmpty(labels.of(g))).sort((a, b) => a - b),

  isEmpty: entry => !entry.label && !entry.note && !entry.marked,

  set(g, change) {
    const entry = {...labels.of(g), ...change};
    if (change.label !== undefined && change.label !== labels.of(g).label)
      entry.score = null;
    labels.mine.set(g, entry);
    labels.keep();
  },

  keep() {
    try {
      localStorage.setItem(labels.key, [...labels.mine.keys()].map(g => labels.line(g)).join('\n'));
    } catch { /* storage is off or full: they last as long as the page, and can be saved as a file */ }
    labels.changed();
  },

  changed() {
    const count = labels.all().length;
    $('to-labels').textContent = 'Labels' + (count ? ' ' + number(count) : '');
    filterForest();
    renderRows();
    picture.draw();
  },

  line(g) {
    const {label, note, score, marked} = labels.of(g), line = {feature: nameOf(g), label};
    if (score !== null)
      line.score = score;
    if (note)
      line.note = note;
    if (marked)
      line.marked = true;
    return JSON.stringify(line);
  },

  text: () => labels.all().map(g => labels.line(g) + '\n').join(''),

  /* The lines of a file as [[g, entry]..]; throws what is wrong with which line. */
  parse(text) {
    const found = new Map();
    text.split('\n').forEach((line, k) => {
      if (!line.trim())
        return;
      const wrong = what => { throw new Error('Line ' + (k + 1) + ': ' + what); };
      let entry = null;
      try {
        entry = JSON.parse(line);
      } catch {
        wrong('no JSON.');
      }
      if (!entry || typeof entry.feature !== 'string')
        wrong('no "feature" such as "l1/104".');
      const g = featureNamed(entry.feature);
      if (g < 0)
        wrong('there is no feature "' + visible(entry.feature.slice(0, 40)) + '" here.');
      const {label = '', note = '', score = null, marked = false} = entry;
      if (typeof label !== 'string' || typeof note !== 'string' || typeof marked !== 'boolean' || score !== null && !(score >= 0 && score <= 1))
        wrong('a label and a note are strings, a score is a number from 0 to 1, marked is true or false.');
      found.set(g, {label: cut(label, MAX_LABEL), note: cut(note, MAX_NOTE), score, marked});
    });
    return found;
  },

  /* Of the tree, so that the same model explored on other data finds its labels again. */
  fingerprint() {
    let a = 0x811c9dc5, b = 0x9747b28c;
    const mix = value => {
      a = Math.imul(a ^ value, 0x01000193);
      b = Math.imul(b ^ value, 0x5bd1e995) ^ b >>> 15;
    };
    forest.index.levels.forEach(level => mix(level.features));
    for (let g = 0; g < forest.count; g++)
      mix(forest.levels > 1 ? forest.parent[g] : Math.round(forest.max[g] * 1000));
    return 'hsae-labels-' + (a >>> 0).toString(16) + (b >>> 0).toString(16);
  },

  async open() {
    const block = await load('labels');
    for (const [level, i, label, score, note, marked] of block ? block.labels : [])
      if (featureAt(level, i) >= 0)
        labels.given.set(featureAt(level, i), {label: label || '', note: note || '', score, marked});
    for (const [level, i, score] of block ? block.edges : [])
      if (featureAt(level, i) >= 0)
        labels.edges.set(featureAt(level, i), score);
    labels.judged = block ? block.judged : null;
    labels.key = labels.fingerprint();
    try {
      labels.mine = labels.parse(localStorage.getItem(labels.key) || '');
    } catch { /* no storage, or not ours */ }
  },
};

const labelOf = g => labels.of(g).label;

/* At most so many UTF-16 units, no half of a pair, no U+0000. */
const cut = (text, most) => text.slice(0, most).replace(/\p{Cs}|\0/gu, '\ufffd');

/* Gives the reader a file. */
function saveFile(name, type, text) {
  const link = make('a', {href: URL.createObjectURL(new Blob([text], {type})), download: name});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/* The form under a feature's title. */
function labelEditor(g, done) {
  const {label, note} = labels.of(g);
  const input = make('input', {type: 'text', value: label, maxLength: MAX_LABEL, autocomplete: 'off', name: 'label', placeholder: wordsOf(g)});
  const area = make('textarea', {value: note, maxLength: MAX_NOTE, rows: 2, name: 'note'});
  const form = make('form', {className: 'editor', onsubmit: event => {
    event.preventDefault();
    labels.set(g, {label: cut(input.value.trim(), MAX_LABEL), note: cut(area.value.trim(), MAX_NOTE)});
    done();
  }, onkeydown: event => {
    if (event.key === 'Escape') {
      event.stopPropagation();
      done();
    }
  }}, make('label', {}, 'Label ', input), make('label', {}, 'Note ', area),
    make('div', {className: 'buttons'}, make('button', {type: 'submit'}, 'Keep'), make('button', {type: 'button', onclick: done}, 'Cancel')));
  setTimeout(() => input.focus());
  return form;
}

/* The buttons of a feature's title: bookmark and label. */
function labelButtons(g) {
  const {label, marked} = labels.of(g);
  const again = selector => { showTarget(false).then(() => $('card').querySelector(selector)?.focus()); };
  return [make('button', {type: 'button', className: 'mark', 'aria-pressed': String(marked), 'aria-label': 'Bookmark ' + nameOf(g), title: 'Bookmark (b)', onclick: () => {
    labels.set(g, {marked: !labels.of(g).marked});
    again('.mark');
  }}, marked ? '\u2605' : '\u2606'),
  make('button', {type: 'button', className: 'name-it', title: 'Label and note (n)', onclick: () => {
    const open = $('card').querySelector('.editor');
    open ? open.querySelector('input').focus() : $('card').querySelector('.title').after(labelEditor(g, () => again('.name-it')));
  }}, label ? 'Rename' : 'Name it')];
}

/* Rows with notes; what else is known follows them. */
function labelledList(features) {
  return longList(features, g => make('li', {className: 'labelled'}, make('div', {className: 'relative'}, featureLink(g, chips(g, 4)),
    labels.of(g).score === null ? null : make('span', {className: 'quiet', title: 'how well the label fits, as judged'}, number(labels.of(g).score)), labels.of(g).marked ? make('span', {'aria-label': 'bookmarked'}, '\u2605') : null),
    labels.of(g).note ? make('p', {className: 'note'}, make('bdi', {}, visibleText(labels.of(g).note))) : null), 60);
}

function copyButton(text, of) {
  const button = make('button', {type: 'button', onclick: async () => {
    try {
      await navigator.clipboard.writeText(of());
      button.textContent = 'Copied';
    } catch {
      button.textContent = 'See the address bar';
    }
  }}, text);
  return button;
}

/* All labels and bookmarks, and their way out of the page and in again. */
function showLabels() {
  const card = $('card'), all = labels.all(), marked = all.filter(g => labels.of(g).marked), said = make('p', {className: 'quiet', role: 'status'});
  const file = make('input', {type: 'file', accept: '.jsonl,.json,.txt', hidden: true, 'aria-label': 'File of labels', onchange: async () => {
    try {
      const found = labels.parse(await file.files[0].text());
      found.forEach((entry, g) => labels.mine.set(g, entry));
      labels.keep();
      showLabels();
    } catch (error) {
      said.textContent = error.message + ' Nothing was taken over.';
    }
  }});
  card.className = 'labels-card';
  card.setAttribute('aria-label', 'Labels');
  card.replaceChildren(...[backButton(), make('h2', {}, 'Labels and bookmarks'),
    make('p', {}, all.length ? plural(all.length, 'feature') + ' with a label, a note or a bookmark. What you write is kept by this browser; save it as a file to pass it on, or to give it to hsae explore --labels.'
      : 'Nothing is labelled yet. Open a feature and choose \u201cName it\u201d, or open a file of labels.'),
    make('div', {className: 'buttons'}, make('button', {type: 'button', id: 'save-labels', disabled: !all.length, onclick: () => saveFile('labels.jsonl', 'application/jsonl', labels.text())}, 'Save labels.jsonl'),
      make('button', {type: 'button', onclick: () => file.click()}, 'Open a file\u2026'), file), said,
    labels.judged && labels.judged.tree[0] ? make('p', {}, 'A judge scored ' + plural(labels.judged.tree[0], 'edge') + ' of the tree with ' + number(labels.judged.tree[1]) + ' on average'
      + (labels.judged.other[0] ? ', ' + plural(labels.judged.other[0], 'pair') + ' that are no edges with ' + number(labels.judged.other[1]) : '') + '.') : null,
    marked.length ? make('section', {}, make('h3', {}, 'Bookmarks'), labelledList(marked),
      make('p', {className: 'more'}, make('a', {href: linkTo({kind: 'list', features: marked}), id: 'list-link'}, 'An address of this list'))) : null,
    all.length > marked.length ? make('section', {}, make('h3', {}, 'Labelled'), labelledList(all.filter(g => !labels.of(g).marked))) : null].filter(Boolean));
  card.scrollTop = 0;
}

/* The features that an address names. */
function showList(features) {
  const card = $('card');
  card.className = 'list-card';
  card.setAttribute('aria-label', 'List of features');
  card.replaceChildren(backButton(), make('div', {className: 'title'}, make('h2', {}, plural(features.length, 'feature')), copyButton('Copy link', () => location.href)),
    make('p', {className: 'quiet'}, 'The address names these features: whoever has this file sees the same list.'), labelledList(features));
  card.scrollTop = 0;
}

function labelKeys(key) {
  if (view.target.kind === 'feature')
    $('card').querySelector(key === 'b' ? '.mark' : '.name-it')?.click();
}
