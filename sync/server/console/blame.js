/** Who set which field, when, from what; and whom that overruled. */

import { Away, REPLAY_SECONDS, read } from './api.js'
import { valueSpan } from './content.js'
import { h, patch } from './dom.js'
import { capital, duration, integer, shown } from './format.js'
import { badge, damage, documentPlace, empty, failure, loading, section, time } from './parts.js'
import { again } from './poll.js'

const PAUSE_SECONDS = 3 // while somebody types: all of the history is read for it

const HEADS = ['Field', 'Value', 'Author', 'When', 'Before', 'Notes']

export function blame({ followed, signal }) {
  const card = section('Who set what', loading('the blame'))
  const tell = (...told) => patch(card, h('h2', { id: 'about-who-set-what' }, 'Who set what'), ...told)
  const load = again(PAUSE_SECONDS, async () => {
    try {
      const { fields, damaged } = await read(`${followed.path}/blame`, { signal, patience: REPLAY_SECONDS })
      tell(damage(damaged), fields.length ? table(followed.name, fields) : empty('It holds nothing.'))
    } catch (error) {
      if (signal.aborted || error instanceof Away) throw error
      tell(failure(error))
    }
  }, signal)
  followed.addEventListener('news', load, { signal })
  load()
  return card
}

const table = (name, fields) =>
  h('div', { class: 'scroll', tabindex: 0, role: 'group', 'aria-label': 'Who set what' }, h('table', {},
    h('thead', {}, h('tr', {}, HEADS.map((head) => h('th', { scope: 'col' }, head)))),
    h('tbody', {}, fields.map((each) => h('tr', { key: each.field },
      h('th', { scope: 'row' }, capital(each.label)),
      h('td', { class: 'wide' }, each.spans.length > 1 ? spans(each.spans) : valueSpan(shown(each.value))),
      h('td', {}, h('span', { class: 'name' }, each.author)),
      h('td', {}, time(each.time), ' ', h('a', { class: 'figures', href: `#/${documentPlace(name, 'past')}?at=${each.position}`, 'aria-label': `See it at position ${each.position}` }, `#${integer(each.position)}`)),
      h('td', { class: 'wide' }, 'before' in each ? valueSpan(shown(each.before)) : h('span', { class: 'quiet' }, 'nothing')),
      h('td', {}, notes(each)))))))

/** A text, by who wrote which stretch. */
function spans(all) {
  const authors = [...new Set(all.map(({ author }) => author))]
  return valueSpan(all.map(({ author, text }) =>
    h('span', { class: `span span-${(authors.indexOf(author) % 4) + 1}`, title: author }, text)),
  h('span', { class: 'authors' }, authors.map((author, index) => h('span', { class: `span span-${(index % 4) + 1}` }, author))))
}

function notes({ offline, away_seconds: away, introduced_by: introduced, overruled }) {
  const found = []
  if (offline) found.push(h('div', {}, badge('warn', 'Offline'), away ? ` received ${duration(away)} after the edit before it` : ''))
  if (introduced) found.push(h('div', {}, `handed on by ${introduced}`))
  for (const each of overruled)
    found.push(h('div', {}, 'overruled ', h('span', { class: 'name' }, each.author), ': ', h('del', {}, shown(each.value)), ' ', time(each.time), each.offline ? ' offline' : ''))
  return found.length ? found : h('span', { class: 'quiet' }, '–')
}
