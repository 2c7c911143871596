/** What a document holds: by the form of its session, or place by place; and what changed in it. */

import { h } from './dom.js'
import { capital, count, shown } from './format.js'
import { badge, empty, meter } from './parts.js'

const LONG = 1_500 // letters
const CONTEXT = 300 // letters of what stayed, before and behind a change

/** Who a place is among all of a document's. */
export const placeKey = ({ root, key }) => `${root}\u0000${key ?? ''}`

/** Changes by their places, as the views below take them. */
export const byPlace = (changes) => new Map(changes.map((each) => [placeKey(each), each]))

/** The places of a content, as the API's diff names them: `{root, key, value}`. */
function places(content) {
  return Object.entries(content).flatMap(([root, value]) =>
    isMap(value) && Object.keys(value).length
      ? Object.entries(value).map(([key, each]) => ({ root, key, value: each }))
      : [{ root, key: null, value }])
}

const isMap = (value) => typeof value === 'object' && value !== null && !Array.isArray(value)

/** What differs between two contents that the page has seen. */
export function difference(before, after) {
  const old = new Map(places(before).map((each) => [placeKey(each), each]))
  const fresh = new Map(places(after).map((each) => [placeKey(each), each]))
  const changes = []
  for (const key of new Set([...old.keys(), ...fresh.keys()])) {
    const [one, other] = [old.get(key), fresh.get(key)]
    if (JSON.stringify(one?.value) === JSON.stringify(other?.value)) continue
    const { root, key: within } = one ?? other
    changes.push({ root, key: within, ...(one && { before: one.value }), ...(other && { after: other.value }) })
  }
  return changes
}

/** The parts of a value; what is long is scrolled within its place. */
export function valueSpan(...parts) {
  const value = h('span', { class: 'value' }, ...parts)
  if (value.textContent.length <= LONG) return value
  value.classList.add('long')
  value.tabIndex = 0
  return value
}

/** A value, and with a change what became of it; of a text's rest, so many letters about that. */
export function valueNode(value, change, context = Infinity) {
  if (!change) return value === undefined ? h('span', { class: 'quiet' }, 'not answered') : valueSpan(shown(value))
  if (!('after' in change)) return valueSpan(h('del', {}, shown(change.before)), ' ', badge('warn', 'removed'))
  if (!('before' in change)) return valueSpan(h('ins', {}, shown(change.after)))
  if (typeof change.before === 'string' && typeof change.after === 'string') return valueSpan(textDifference(change.before, change.after, context))
  return valueSpan(h('del', {}, shown(change.before)), ' ', h('ins', {}, shown(change.after)))
}

/** What was cut out and put in between the beginning and the end that two texts share. */
function textDifference(before, after, context) {
  const [old, fresh] = [[...before], [...after]]
  let start = 0
  while (start < old.length && start < fresh.length && old[start] === fresh[start]) start += 1
  let end = 0
  while (end < old.length - start && end < fresh.length - start && old.at(-1 - end) === fresh.at(-1 - end)) end += 1
  const part = (letters, from, to) => letters.slice(from, to).join('')
  const begin = Math.max(0, start - context)
  const last = Math.min(fresh.length, fresh.length - end + context)
  return [
    begin > 0 && h('span', { class: 'quiet' }, `[${count(begin, 'letter')}] …`),
    part(fresh, begin, start),
    old.length - end > start && h('del', {}, part(old, start, old.length - end)),
    fresh.length - end > start && h('ins', {}, part(fresh, start, fresh.length - end)),
    part(fresh, fresh.length - end, last),
    last < fresh.length && h('span', { class: 'quiet' }, `… [${count(fresh.length - last, 'letter')}]`),
  ]
}

/** By the form. `form` is the draft's part of `GET /documents/{name}`, `definition` its session's. */
export function formView(form, definition, changed = new Map()) {
  const people = form.evaluators
  return h('div', { class: 'form-view' },
    h('ul', { class: 'evaluators' }, people.map((each) => h('li', { key: each.subject }, h('span', {}, each.subject), meter(each.progress, each.subject)))),
    definition.sections.map((part) =>
      h('div', { key: part.id },
        h('h3', {}, part.title),
        h('dl', { class: 'answers' }, part.questions.map((question) =>
          h('div', { key: question.id }, h('dt', {}, question.label, question.required && h('span', { class: 'quiet' }, ' required')),
            answers(question, form, people, changed)))))),
    form.issues.length ? h('div', { class: 'issues' }, h('h3', {}, 'Not as the form wants it'),
      h('ul', {}, form.issues.map((each) => h('li', {}, h('strong', {}, each.question), each.subject ? ` of ${each.subject}` : '', `: ${each.message}.`)),
        form.more_issues && h('li', {}, 'There are more.'))) : null)
}

function answers(question, form, people, changed) {
  const shared = { ...form.shared }
  const rows = []
  const add = (who, value, change) => {
    if (value !== undefined || change) rows.push(h('dd', { key: who, class: change ? 'changed' : null }, h('span', { class: 'by' }, who), valueNode(named(question, value), renamed(question, change))))
  }
  add('everybody', shared[question.id], changed.get(placeKey({ root: 'fields', key: question.id })) ?? tagsChange(question, changed))
  const subjects = new Set(people.map((each) => each.subject))
  for (const { root, key } of changed.values())
    if (root === 'ratings' && key?.endsWith(`/${question.id}`)) subjects.add(key.slice(0, -question.id.length - 1))
  for (const subject of subjects)
    add(subject, people.find((each) => each.subject === subject)?.answers[question.id],
      changed.get(placeKey({ root: 'ratings', key: `${subject}/${question.id}` })))
  const comment = form.comments[question.id]
  const change = changed.get(placeKey({ root: `comment/${question.id}`, key: null }))
  if (comment || change) add(question.kind === 'text' ? 'text' : 'note', comment ?? '', change)
  return rows.length ? rows : h('dd', {}, h('span', { class: 'quiet' }, 'not answered'))
}

function tagsChange(question, changed) {
  const all = [...changed.values()].filter(({ root }) => root === `tags/${question.id}`)
  if (!all.length) return undefined
  const list = (side) => all.filter((each) => side in each).map((each) => each.key ?? '').join(', ')
  return { ...(list('before') && { before: list('before') }), ...(list('after') && { after: list('after') }) }
}

/** Options by their labels. */
function named(question, value) {
  const label = (id) => question.options?.find((each) => each.id === id)?.label ?? id
  return Array.isArray(value) ? value.map(label) : label(value)
}

function renamed(question, change) {
  if (!change || !question.options) return change
  const all = { ...change }
  for (const side of ['before', 'after']) if (side in change) all[side] = named(question, change[side])
  return all
}

/** Place by place, whatever the document is. */
export function rawView(content, changed = new Map()) {
  const gone = [...changed.values()].filter((each) => !('after' in each))
  const found = [...places(content), ...gone.map(({ root, key }) => ({ root, key }))]
  if (!found.length) return empty('It holds nothing.')
  const roots = [...new Set(found.map(({ root }) => root))].sort()
  return h('div', { class: 'raw-view' }, roots.map((root) =>
    h('div', { key: root }, h('h3', { class: 'name' }, root),
      h('dl', { class: 'answers' }, found.filter((each) => each.root === root).map((each) => {
        const change = changed.get(placeKey(each))
        return h('div', { key: placeKey(each) }, h('dt', { class: 'name' }, each.key ?? h('span', { class: 'quiet' }, 'all of it')),
          h('dd', { class: change ? 'changed' : null }, valueNode(each.value, change)))
      })))))
}

/** Changes as a table: which field, what it was, what it is. */
export function changesTable(changes, none = 'Nothing differs.') {
  if (!changes.length) return empty(none)
  return h('div', { class: 'scroll', tabindex: 0, role: 'group', 'aria-label': 'Changes' }, h('table', {},
    h('thead', {}, h('tr', {}, ['Field', 'Before', 'After'].map((head) => h('th', { scope: 'col' }, head)))),
    h('tbody', {}, changes.map((each) => h('tr', { key: placeKey(each) },
      h('th', { scope: 'row' }, capital(each.label ?? each.field)),
      h('td', { class: 'wide' }, 'before' in each ? valueSpan(shown(each.before)) : h('span', { class: 'quiet' }, 'nothing')),
      h('td', { class: 'wide changed' }, 'after' in each ? valueNode(each.after, typeof each.after === 'string' ? each : null, CONTEXT) : h('span', { class: 'quiet' }, 'nothing')))))))
}
