/* SPDX-License-Identifier: MIT */
/* How things look: elements, tokens, numbers, colours, the tooltip. Text of the data goes in by textContent alone. */

const $ = id => document.getElementById(id);

/* An element; properties by name, "aria-.." and "data-.." and role as attributes, on* as listeners; children are nodes or texts. */
function make(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties || {})) {
    if (value === null || value === undefined)
      continue;
    if (key.startsWith('on'))
      element.addEventListener(key.slice(2), value);
    else if (key.startsWith('--'))
      element.style.setProperty(key, value);
    else if (/^(aria-|data-|role$|for$|tabindex$|scope$)/.test(key))
      element.setAttribute(key, value);
    else
      element[key] = value;
  }
  element.append(...children.filter(child => child !== null && child !== undefined));
  return element;
}

function svg(tag, attributes, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [key, value] of Object.entries(attributes))
    element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]/gu;

function visibleCharacter(character) {
  const code = character.codePointAt(0);
  if (code === 10)
    return '\u23ce';
  if (code < 32)
    return String.fromCharCode(0x2400 + code);
  if (code === 127)
    return '\u2421';
  if (code >= 0xd800 && code < 0xe000)
    return '\ufffd';
  return '\u27e8U+' + code.toString(16).toUpperCase().padStart(4, '0') + '\u27e9';
}

/* A token with nothing hidden in it: controls, marks of direction and strange spaces get a sign; one leading space stays a space. */
function visible(string) {
  if (string === '')
    return '\u2205';
  let text = string.replace(INVISIBLE, visibleCharacter);
  if (/^\p{M}/u.test(text))
    text = '\u25cc' + text;
  return text.replace(/^ +$| {2,}| $/g, run => '\u2423'.repeat(run.length));
}

/* Text of several lines: newlines stay. */
const visibleText = text => text.split('\n').map(visible).join('\n');

const tokenText = id => id < 0 || id >= forest.strings.length ? '\u2026' : visible(forest.strings[id]);

/* What stands for a feature: its label, else its words. */
function chips(g, most = 5) {
  return labelOf(g) ? make('span', {className: 'chips'}, make('bdi', {className: 'label', title: wordsOf(g)}, visible(labelOf(g)))) : wordChips(g, most);
}

function wordChips(g, most = 5) {
  return make('span', {className: 'chips'}, ...topTokens(g).slice(0, most).map(id => make('bdi', {className: 'chip'}, wordText(id))));
}

/* A word without the space before it, unless it is nothing else. */
const wordText = id => tokenText(id).trim() || tokenText(id);
const wordsOf = g => topTokens(g).map(wordText).join(', ');
const saidOf = g => labelOf(g) ? visible(labelOf(g)) : wordsOf(g);

function number(value) {
  if (value === null || value === undefined || Number.isNaN(value))
    return '\u2013';
  if (Number.isInteger(value))
    return value.toLocaleString('en');
  const size = Math.abs(value);
  return size >= 1000 ? Math.round(value).toLocaleString('en') : size >= 0.001 ? String(+value.toPrecision(size >= 1 ? 4 : 3)) : value.toExponential(2);
}

function percent(share) {
  if (!(share >= 0))
    return '\u2013';
  const value = share * 100;
  return (value === 0 ? '0' : value < 0.001 ? value.toExponential(1) : String(+value.toPrecision(3))) + '\u202f%';
}

const plural = (count, one, many = one + 's') => number(count) + ' ' + (count === 1 ? one : many);

const levelClass = l => 'level-' + l % 8;

/* A link to a feature: dot of its level and name. */
function featureLink(g, ...more) {
  return make('a', {href: linkTo({kind: 'feature', g}), className: 'feature ' + levelClass(forest.level[g])},
    make('span', {className: 'dot', 'aria-hidden': 'true'}), make('span', {className: 'name'}, nameOf(g)), ...more);
}

/* A share as a bar with its number. */
function meter(share, label) {
  return make('span', {className: 'meter', title: label}, make('span', {className: 'bar-track', 'aria-hidden': 'true'},
    make('span', {className: 'bar-fill', '--share': share >= 0 ? String(Math.min(1, share)) : '0'})), make('span', {className: 'bar-number'}, number(share)));
}

/* Bins of activations from 0 to the largest; heights are square roots, so that the few strong ones show. */
function histogramPicture(counts, max) {
  const width = 480, height = 96, most = Math.sqrt(Math.max(...counts)), step = width / counts.length;
  const total = counts.reduce((sum, count) => sum + count, 0);
  const bars = counts.map((count, k) => {
    const tall = count ? Math.max(1.5, Math.sqrt(count) / most * (height - 4)) : 0;
    return svg('rect', {x: k * step + 0.5, y: height - tall, width: Math.max(0.5, step - 1), height: tall},
      svg('title', {}, number(max * k / counts.length) + ' to ' + number(max * (k + 1) / counts.length) + ': ' + plural(count, 'token')));
  });
  const picture = svg('svg', {viewBox: `0 0 ${width} ${height}`, class: 'histogram', role: 'img', preserveAspectRatio: 'none',
    'aria-label': 'Histogram of ' + plural(total, 'activation') + ' between 0 and ' + number(max)}, ...bars);
  return make('figure', {className: 'histogram-box'}, picture,
    make('figcaption', {}, make('span', {}, '0'), make('span', {}, plural(total, 'activation') + ', square-root scale'), make('span', {}, number(max))));
}

/* One tooltip for all, near an element or a point. */
function showTip(lines, x, y) {
  const tip = $('tip');
  tip.replaceChildren(...lines.map(line => typeof line === 'string' ? make('div', {}, line) : line));
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(innerWidth - box.width - 4, x - box.width / 2)) + 'px';
  tip.style.top = (y - box.height - 10 > 4 ? y - box.height - 10 : y + 22) + 'px';
}

const hideTip = () => { $('tip').hidden = true; };

/* Light or dark: what the system says, until the reader chooses; kept where the browser lets a file keep something. */
const theme = {
  isDark: () => (document.documentElement.dataset.theme || (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')) === 'dark',
  set(name) {
    document.documentElement.dataset.theme = name;
    try {
      localStorage.setItem('hsae-theme', name);
    } catch { /* storage is off: the choice lasts as long as the page */ }
    theme.changed();
  },
  changed() {
    $('theme').setAttribute('aria-pressed', String(theme.isDark()));
    if (forest.index)
      picture.draw();
  },
  start() {
    try {
      const kept = localStorage.getItem('hsae-theme');
      if (kept === 'dark' || kept === 'light')
        document.documentElement.dataset.theme = kept;
    } catch { /* as above */ }
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', theme.changed);
    $('theme').addEventListener('click', () => theme.set(theme.isDark() ? 'light' : 'dark'));
    theme.changed();
  },
};
