/** One document: what it holds now, what it was, who set what, and what differs. */

import { Away, Refused, ask, path, query as queryOf, read, save } from './api.js'
import { blame } from './blame.js'
import { compare } from './compare.js'
import { byPlace, difference, formView, rawView } from './content.js'
import { h, patch } from './dom.js'
import { integer, milliseconds } from './format.js'
import { badge, choice, confirm, documentPlace, empty, facts, failure, link, loading, say, section, sessionLink, since, time } from './parts.js'
import { past } from './past.js'
import { every } from './poll.js'

const TABS = [
  { part: '', title: 'Now', make: now },
  { part: 'past', title: 'Past', make: past },
  { part: 'blame', title: 'Blame', make: blame },
  { part: 'compare', title: 'Compare', make: compare },
]

/** A document as the console follows it: `told` is the last answer, `news` comes when it is another. */
class Followed extends EventTarget {
  told = null
  askedAt = 0
  definition = null // the form of its session
  deleted = null // {by, at}
  changed = new Map() // by the last news
  #etag = null

  constructor(name) {
    super()
    this.name = name
    this.trouble = null // why it cannot be read
    this.path = path('documents', name)
  }

  async poll(signal) {
    this.askedAt = Date.now()
    try {
      const answer = await ask(this.path, { signal, headers: this.#etag ? { 'If-None-Match': this.#etag } : {} })
      if (answer.status === 304) return
      const told = await answer.json()
      this.#etag = answer.headers.get('ETag')
      if (told.form && !this.definition) this.definition = (await read(path('sessions', told.session), { signal })).form
      this.changed = this.told ? byPlace(difference(this.told.content, told.content)) : new Map()
      this.told = told
      this.deleted = this.trouble = null
    } catch (error) {
      if (signal.aborted || !(error instanceof Refused)) throw error
      if (error.status === 401) return
      if (this.trouble?.message === error.message) return
      this.trouble = error
      this.told = this.#etag = null
      this.deleted = error.status === 404 ? await this.deletion(signal) : null
    }
    this.dispatchEvent(new Event('news'))
  }

  async deletion(signal) {
    const { documents } = await read(`/documents${queryOf({ prefix: this.name, deleted: true, limit: 1 })}`, { signal })
    return documents[0]?.name === this.name ? documents[0].deleted : null
  }
}

const FRESH_MS = 3_000
let latest = null // that was looked at: from tab to tab nothing is read again, and nothing jumps

export function document_({ parts: [name, part = ''], query, signal }) {
  const followed = latest?.name === name && Date.now() - latest.askedAt < FRESH_MS ? latest : new Followed(name)
  latest = followed
  followed.changed = new Map()
  const tab = TABS.find((each) => each.part === part) ?? TABS[0]
  const head = h('header', { class: 'page-head' }, h('h1', { class: 'name' }, name))
  const about = h('div', {}, loading('the document'))
  const inside = tab.make({ followed, query, signal })
  const refresh = () => followed.poll(signal).catch(() => {})
  const draw = () => {
    patch(head, h('h1', { class: 'name' }, name, followed.deleted && [' ', badge('bad', 'Deleted')]), buttons(followed, refresh))
    patch(about, described(followed))
  }
  followed.addEventListener('news', draw, { signal })
  if (followed.told || followed.trouble) draw()
  every(1, (each) => followed.poll(each), signal)
  const tabs = h('nav', { class: 'tabs', 'aria-label': 'Of this document' }, TABS.map((each) =>
    h('a', { href: `#/${documentPlace(name, each.part)}`, 'aria-current': each === tab ? 'page' : null }, each.title)))
  const title = tab.part ? `${tab.title} of ${name}` : name
  return { title, node: h('div', {}, h('p', { class: 'crumbs' }, link('documents', 'Documents'), ' / '), head, about, tabs, inside) }
}

function described({ told, deleted, trouble }) {
  if (deleted)
    return h('div', { class: 'card', key: 'deleted' },
      h('p', {}, 'Deleted by ', h('span', { class: 'name' }, deleted.by), ' ', time(deleted.at), ' ', since(deleted.at), '. Nobody can open it; its history is still here, and it can be brought back.'))
  if (trouble) return failure(trouble)
  return [
    told.note && h('div', { class: 'problem', key: 'note' }, h('p', {}, `${told.note}. The past tells which; `, h('code', {}, 'draftsync doctor'), ' what can be done.')),
    aboutIt(told),
  ]
}

const aboutIt = (told) =>
  facts(
    ['Session', told.session ? sessionLink(told.session) : null],
    ['Test case', told.case],
    ['Whose', told.evaluator],
    ['Position', h('span', { class: 'figures' }, integer(told.position))],
    ['Last edit', h('span', {}, time(told.updated_at), told.last_author ? [' by ', h('span', { class: 'name' }, told.last_author)] : '', ' ', since(told.updated_at))],
  )

function buttons(followed, refresh) {
  const { name, told, deleted } = followed
  const file = name.replaceAll('/', '-')
  const button = (text, click, kind) => h('button', { type: 'button', key: text, class: kind, on: { click } }, text)
  if (deleted) return h('div', { class: 'buttons', key: 'buttons' },
    button('Bring back …', () => bringBack(followed, refresh), 'primary'),
    button('Remove for ever …', () => purge(followed, refresh), 'danger'))
  if (!told) return null
  return h('div', { class: 'buttons', key: 'buttons' },
    button('Download JSON', () => save(`${file}.json`, new Blob([JSON.stringify(followed.told, null, 2)], { type: 'application/json' }))),
    button('Download Yjs update', () => download(followed, file)),
    button('Delete …', () => remove(followed, refresh), 'danger'))
}

async function download(followed, file) {
  try {
    const answer = await ask(`${followed.path}/update`)
    save(`${file}.bin`, await answer.blob())
  } catch (error) {
    say(`It was not downloaded: ${error.message}.`)
  }
}

async function remove(followed, refresh) {
  const done = await confirm({
    title: 'Delete this document?',
    about: [
      h('span', { class: 'name' }, followed.name),
      'Whoever has it open is closed and told, and nobody can open it any more.',
      'Its history stays on disk: an administrator can bring it back.',
    ],
    action: 'Delete', danger: true,
    work: () => read(followed.path, { method: 'DELETE' }),
  })
  if (done) say(`Deleted: ${followed.name}.`)
  if (done) refresh()
}

async function purge(followed, refresh) {
  const done = await confirm({
    title: 'Remove this document for ever?',
    about: [
      h('span', { class: 'name' }, followed.name),
      'What it holds and all of its history are taken off the disk. Nobody can bring it back; only a backup has it then.',
      'Its name stays taken, so that nobody who was away brings it back with a copy of theirs.',
    ],
    action: 'Remove for ever', danger: true,
    typed: followed.name,
    work: () => read(`${followed.path}${queryOf({ purge: true })}`, { method: 'DELETE' }),
  })
  if (done) say(`Removed for ever: ${followed.name}.`)
  if (done) refresh()
}

async function bringBack(followed, refresh) {
  const done = await confirm({
    title: 'Bring this document back?',
    about: [h('span', { class: 'name' }, followed.name), 'It is again what it was when it was deleted, and whoever may open it can.'],
    action: 'Bring back',
    work: () => read(`${followed.path}/restore`, { method: 'POST' }),
  })
  if (done) say(`It is back: ${followed.name}.`)
  if (done) refresh()
}

// -- now

function now({ followed, signal }) {
  const people = h('div', {}, loading('who is here'))
  const content = section('Content', loading('the content'))
  let raw = false
  const draw = () => {
    const { told, definition, changed, deleted } = followed
    if (!told && !followed.trouble) return
    if (!told) return patch(content, h('h2', { id: 'about-content' }, 'Content'), empty(deleted ? 'See the past for what it was.' : 'There is nothing to show.'))
    const byForm = told.form && definition && !raw
    patch(content,
      h('div', { class: 'card-head' }, h('h2', { id: 'about-content' }, 'Content'),
        told.form && h('div', { class: 'buttons' },
          choice('Form', byForm, () => { raw = false; draw() }), choice('Raw', !byForm, () => { raw = true; draw() }))),
      changed.size ? h('p', { class: 'quiet' }, 'Marked: what the last edits changed.') : h('p', { class: 'quiet' }, 'As it is saved. What changes while you look is marked.'),
      byForm ? formView(told.form, definition, changed) : rawView(told.content, changed))
  }
  followed.addEventListener('news', draw, { signal })
  draw()
  every(2, async () => {
    try {
      const { connections } = await read(`/connections${queryOf({ document: followed.name })}`, { signal })
      patch(people, present(connections))
    } catch (error) {
      if (signal.aborted || error instanceof Away) throw error
      patch(people, failure(error))
    }
  }, signal)
  return h('div', {}, section('People in it now', people), content)
}

function present(connections) {
  if (!connections.length) return empty('Nobody has it open.')
  return h('ul', { class: 'people' }, connections.map((each) =>
    h('li', { key: each.id }, h('strong', {}, each.name), each.name !== each.subject && h('span', { class: 'quiet name' }, ` ${each.subject}`),
      h('span', { class: 'quiet figures' }, ' since ', time(each.since), `, answers in ${milliseconds(each.round_trip_ms)}`),
      each.unsaved > 0 && badge('warn', `${integer(each.unsaved)} unsaved`))))
}
