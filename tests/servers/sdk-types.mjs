// Holds JSON to the vendors' own TypeScript declarations: no field that they do not have, none missing that they require,
// and no word where they list other words.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

// Checks `value` against `interface NAME` of a file in node_modules; a name such as `LiveInput.Rtmps` is one in a namespace.
export function conforms(value, file, name, place = name) {
  const fields = declared(file, name);
  assert.equal(typeof value, 'object', `${place} is no object`);
  for (const field of Object.keys(value)) {
    assert.ok(fields.has(field), `${place}.${field} is not declared`);
  }
  for (const [field, { required, words }] of fields) {
    const there = value[field];
    assert.ok(there !== undefined || !required, `${place}.${field} is missing`);
    if (there !== undefined && words) {
      assert.ok(words.includes(there), `${place}.${field} is ${JSON.stringify(there)}`);
    }
  }
}

// The fields of an interface: whether each is required, and the words that it may be if they are listed.
function declared(file, name) {
  const source = readFileSync(new URL(`node_modules/${file}`, import.meta.url), 'utf8');
  const bare = source.replace(/\/\*[\s\S]*?\*\//g, '');
  const body = name.split('.').reduce((text, part, nth, parts) => {
    const kind = nth < parts.length - 1 ? 'namespace' : 'interface';
    return block(text, new RegExp(`\\b${kind} ${part}\\b[^{;]*\\{`), `${file}: ${name}`);
  }, bare);
  const fields = new Map();
  for (const [, field, optional, type] of flat(body).matchAll(/^\s*'?([\w-]+)'?(\??):\s*([^;]+);/gm)) {
    const words = type.split('|').map((word) => word.trim());
    const listed = words.every((word) => word === 'null' || /^'[^']*'$/.test(word));
    fields.set(field, {
      required: optional === '',
      words: listed ? words.map((word) => (word === 'null' ? null : word.slice(1, -1))) : undefined,
    });
  }
  assert.ok(fields.size > 0, `${file}: ${name} has no fields`);
  return fields;
}

// What stands between the braces that follow `head`.
function block(text, head, what) {
  const found = head.exec(text);
  assert.ok(found, `${what} is not declared`);
  const begin = found.index + found[0].length;
  let depth = 1;
  for (let at = begin; at < text.length; at += 1) {
    depth += text[at] === '{' ? 1 : text[at] === '}' ? -1 : 0;
    if (depth === 0) return text.slice(begin, at);
  }
  throw new Error(`${what} does not end`);
}

// Without what is in inner braces.
function flat(body) {
  let depth = 0;
  let outer = '';
  for (const character of body) {
    depth -= character === '}' ? 1 : 0;
    outer += depth === 0 || character === '\n' ? character : '';
    depth += character === '{' ? 1 : 0;
  }
  return outer;
}
