/**
 * A document as it was: one moves through its versions, or its single edits, by a slider, and sees
 * what it held and what that step changed.
 */

import { path, query as queryOf, read } from './api.js'
import { byPlace, changesTable, formView, rawView } from './content.js'
import { h, patch } from './dom.js'
import { clock, count, duration, integer, moment } from './format.js'
import { badge, choice, confirm, empty, facts, failure, loading, say, section, time } from './parts.js'

const PAGE = 1_000
const MOST_PAGES = 5
const PLAY_MS = 900
const KEPT = 300 // states that were shown are kept, so that the slider goes back at once

/**
 * All of a document's history that the page takes in: `{steps, more, damaged, removed}`; `removed`
 * is the position up to which retention has taken it away, 0 where all is there.
 */
async function history(followed, view, signal) {
  const steps = []
  const damaged = []
  const { thinned: removed } = await read(`${followed.path}/history${queryOf({ limit: 1 })}`, { signal })
  let after = 0
  for (let page = 0; page < MOST_PAGES && after !== null; page += 1) {
    const told = await read(`${followed.path}/history${queryOf({ view, after, limit: PAGE })}`, { signal })
    steps.push(...(view === 'versions' ? told.versions.map(ofVersion) : told.entries.map(ofEdit)))
    damaged.push(...told.damaged)
    after = told.next
  }
  return { steps, more: after !== null, damaged, removed }
}

const ofVersion = (each) => ({ ...each, position: each.last })
const ofEdit = (each) => ({ ...each, first: each.position, began: each.time, ended: each.time, edits: 1, changes: null })

/** Versions of a document, for who chooses among them. */
export const versions = async (followed, signal) => (await history(followed, 'versions', signal)).steps

export function past({ followed, query, signal }) {
  const node = h('div', {}, loading('the history'))
  const states = new Map()
  let view = 'versions'
  let raw = false
  let found = null
  let chosen = 0 // index of the step
  let stepShown = null
  let playing = null
  let turn = 0

  const slider = h('input', {
    type: 'range', min: 0, max: 0, step: 1, class: 'time', 'aria-label': 'Point in time',
    on: { input: (event) => { stop(); choose(Number(event.target.value)) } },
  })

  async function load() {
    const wanted = found?.steps[chosen]?.position ?? Number(query.get('at') ?? Infinity)
    try {
      found = await history(followed, view, signal)
    } catch (error) {
      if (!signal.aborted) patch(node, failure(error))
      return
    }
    if (!found.steps.length) return patch(node, empty('It has no history that is kept.'))
    const index = found.steps.findIndex((each) => each.position >= wanted)
    choose(index < 0 ? found.steps.length - 1 : index)
  }

  async function choose(index) {
    chosen = Math.max(0, Math.min(found.steps.length - 1, index))
    const mine = (turn += 1)
    draw()
    const step = found.steps[chosen]
    try {
      const state = await stateOf(step)
      if (mine !== turn) return
      stepShown = { step, state }
    } catch (error) {
      if (signal.aborted || mine !== turn) return
      stepShown = { step, error }
    }
    draw()
  }

  /** What a step changed since the one before: people's versions may overlap. */
  async function changesOf(step) {
    const before = found.steps[found.steps.indexOf(step) - 1]?.position ?? 0
    if (step.changes && before < step.first) return step.changes
    const from = before || step.first - 1
    return (await read(`${followed.path}/diff${queryOf({ from, to: step.position })}`, { signal })).changes
  }

  async function stateOf(step) {
    const key = `${view} ${step.position}`
    if (!states.has(key)) {
      const at = read(`${followed.path}${path('at', step.position)}`, { signal })
      const [told, changes] = await Promise.all([at, changesOf(step)])
      if (told.form && !followed.definition) followed.definition = (await read(path('sessions', told.session), { signal })).form
      states.set(key, { told, changes })
      if (states.size > KEPT) states.delete(states.keys().next().value)
    }
    return states.get(key)
  }

  function stop() {
    clearInterval(playing)
    playing = null
  }

  function play() {
    if (playing) stop()
    else {
      if (chosen === found.steps.length - 1) choose(0)
      playing = setInterval(() => {
        if (chosen >= found.steps.length - 1) stop()
        else if (stepShown?.step === found.steps[chosen]) choose(chosen + 1)
        draw()
      }, PLAY_MS)
    }
    draw()
  }
  signal.addEventListener('abort', stop)

  const switchTo = (other) => () => {
    if (view === other) return
    view = other
    stop()
    load()
  }

  function draw() {
    const { steps, more, damaged, removed } = found
    const step = steps[chosen]
    slider.max = steps.length - 1
    slider.value = chosen
    slider.setAttribute('aria-valuetext', `${view === 'versions' ? 'Version' : 'Edit'} ${chosen + 1} of ${steps.length}: by ${step.author}, ${moment(step.ended)}`)
    const newer = followed.told && followed.told.position > steps.at(-1).position
    patch(node,
      h('section', { class: 'card timeline', 'aria-label': 'Time', key: 'timeline' },
        h('div', { class: 'card-head' },
          h('h2', {}, `${view === 'versions' ? 'Version' : 'Edit'} `, h('span', { class: 'figures' }, `${integer(chosen + 1)} of ${integer(steps.length)}`)),
          h('div', { class: 'buttons' },
            choice('Versions', view === 'versions', switchTo('versions')), choice('Edits', view === 'edits', switchTo('edits')))),
        h('div', { class: 'slide' },
          h('button', { type: 'button', class: 'small', 'aria-label': 'One back', disabled: chosen === 0, on: { click: () => { stop(); choose(chosen - 1) } } }, '◂'),
          h('button', { type: 'button', class: 'small play', on: { click: play } }, playing ? 'Pause' : 'Play'),
          h('button', { type: 'button', class: 'small', 'aria-label': 'One on', disabled: chosen === steps.length - 1, on: { click: () => { stop(); choose(chosen + 1) } } }, '▸'),
          slider),
        h('div', { class: 'chart-times', 'aria-hidden': 'true' }, h('span', {}, moment(steps[0].ended)), h('span', {}, moment(steps.at(-1).ended))),
        facts(
          ['Author', h('span', { class: 'name' }, step.author)],
          ['When', step.began === step.ended ? time(step.ended) : h('span', {}, time(step.began), ' – ', clock(step.ended))],
          ['Edits', integer(step.edits)],
          ['Position', h('span', { class: 'figures' }, step.first === step.position ? integer(step.position) : `${integer(step.first)} – ${integer(step.position)}`)],
          ['How', step.offline ? h('span', {}, badge('warn', 'Offline'), step.away_seconds ? ` received ${duration(step.away_seconds)} after the edit before it` : '') : badge('quiet', 'Online')],
        ),
        h('div', { class: 'buttons' },
          h('button', { type: 'button', on: { click: () => restore(followed, step, load) } }, 'Restore to this point …'),
          newer && h('button', { type: 'button', on: { click: load } }, 'Newer edits are there: read again')),
        more && h('p', { class: 'quiet' }, `The first ${count(steps.length, 'step')} are here; ask the API or draftsync docs history for later ones.`),
        removed > 0 && h('p', { class: 'quiet' }, `What was up to position ${integer(removed)} was removed by retention.`),
        damaged.length ? h('div', { class: 'problem' }, damaged.map((each) => h('p', {}, each))) : null),
      body())
  }

  function body() {
    if (!stepShown) return loading('the content as of then')
    const { error, state } = stepShown
    if (error) return failure(error)
    const changed = byPlace(state.changes)
    const definition = followed.definition
    const byForm = state.told.form && definition && !raw
    const title = `As it was ${moment(state.told.updated_at ?? stepShown.step.ended)}`
    return h('div', { class: 'columns past', key: 'past' },
      h('section', { class: 'card', 'aria-label': 'Content as of then' },
        h('div', { class: 'card-head' }, h('h2', {}, title),
          state.told.form && h('div', { class: 'buttons' }, choice('Form', byForm, () => { raw = false; draw() }), choice('Raw', !byForm, () => { raw = true; draw() }))),
        byForm ? formView(state.told.form, definition, changed) : rawView(state.told.content, changed)),
      section('What this step changed', changesTable(state.changes, 'It changed nothing that one sees.')))
  }

  load()
  return node
}

async function restore(followed, step, again) {
  const done = await confirm({
    title: 'Restore to this point?',
    about: [
      h('span', { class: 'name' }, followed.name),
      `What it holds becomes again what it was at position ${integer(step.position)}, ${moment(step.ended)}.`,
      'This is a new edit in your name: whoever has it open sees it at once, what they type meanwhile stays, and nothing of the history is lost.',
      followed.deleted ? 'It is brought back first.' : null,
    ].filter(Boolean),
    action: 'Restore',
    work: async () => {
      const { changes } = await read(`${followed.path}/restore`, { method: 'POST', body: { position: step.position } })
      say(changes ? `Restored: ${count(changes, 'place')} changed.` : 'Nothing had to be changed: it is as it was then.')
    },
  })
  if (done) again()
}
