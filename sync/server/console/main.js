/**
 * The console: who signs in, what is shown, and whether the service answers.
 *
 * A view is a function of `{parts, query, signal}` that answers with `{title, node}` and fills the
 * node until the signal ends it. Its address is in the fragment: `#/documents/drafts%2F42/past`.
 */

import { Away, Refused, ask, claims, token, whenSignedOut } from './api.js'
import { Samples } from './chart.js'
import { document_ } from './document.js'
import { documents } from './documents.js'
import { h, patch } from './dom.js'
import { feed } from './feed.js'
import { clock, duration, zone } from './format.js'
import { overview } from './overview.js'
import { announcer, badge, link, tickAll } from './parts.js'
import { every, health, tryNow } from './poll.js'
import { session } from './session.js'
import { sessions } from './sessions.js'
import { signIn } from './sign-in.js'
import { service } from './service.js'
import { trouble } from './trouble.js'

const VIEWS = [
  { name: 'overview', title: 'Overview', view: overview },
  { name: 'sessions', title: 'Sessions', view: sessions, one: session },
  { name: 'documents', title: 'Documents', view: documents, one: document_ },
  { name: 'feed', title: 'Event feed', view: feed },
  { name: 'trouble', title: 'Trouble', view: trouble },
]
const POLL_SECONDS = 2
const WARN_SECONDS = 300

const app = document.getElementById('app')
let signedIn = null // ends with the sign-out
let shown = null // ends with the view

// -- addresses

/** `{name, parts, query}` of the fragment; the names within it are decoded. */
function place() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?')
  const [name, ...parts] = path.split('/').map((part) => {
    try {
      return decodeURIComponent(part)
    } catch {
      return part
    }
  })
  return { name: name || 'overview', parts, query: new URLSearchParams(query) }
}

/** A token in the fragment, which is taken out of the address before anything else is done. */
function handedOver() {
  const given = new URLSearchParams(location.hash.slice(1))
  const text = location.hash.startsWith('#/') ? null : given.get('token')
  if (text === null) return null
  history.replaceState(null, '', `${location.pathname}#/${given.get('view') ?? 'overview'}`)
  return text
}

// -- signing in and out

/** Whether a token is an administrator's. Throws Refused in words for the reader, and Away. */
async function admitted(text) {
  if (ended(text)) throw new Refused(401, refusal(text))
  try {
    await ask('/status', { as: text })
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    if (error.status === 403) {
      const who = claims(text)?.name ?? claims(text)?.sub ?? 'somebody'
      throw new Refused(403, `This token is good, and it is ${who}'s, who is no administrator. The console needs a token with the role admin.`)
    }
    throw new Refused(error.status, error.status === 401 ? refusal(text, error.message) : `The service refused: ${error.message}.`)
  }
}

function ended(text) {
  const end = claims(text)?.exp
  return Boolean(end) && end * 1_000 < Date.now()
}

function refusal(text, detail) {
  const end = claims(text)?.exp
  if (ended(text)) return `This token expired at ${clock(end * 1_000)}, ${duration(Date.now() / 1_000 - end)} ago. Get a new one.`
  return `The service does not take this token: ${detail}.`
}

function signOut(why) {
  token.forget()
  signedIn?.abort()
  signedIn = null
  shown?.abort()
  closeDialogs()
  document.title = 'Sign in · draftsync console'
  app.replaceChildren(signIn({ why, admitted, enter }), announcer)
  app.querySelector('textarea').focus()
}

const closeDialogs = () => document.querySelectorAll('dialog').forEach((dialog) => dialog.close())

function enter(text) {
  token.keep(text)
  signedIn?.abort() // two links may have been opened at once
  signedIn = new AbortController()
  const { signal } = signedIn
  const whose = claims(text)
  const expires = whose?.exp ? whose.exp * 1_000 : null
  service.reset(new Samples())
  app.replaceChildren(shell(whose, expires, signal), announcer)
  every(POLL_SECONDS, (each) => service.poll(each), signal)
  show()
}

whenSignedOut(() => {
  signOut(
    ended(token.read() ?? '')
      ? 'Your token has expired. Paste a new one to go on where you are.'
      : 'The service does not take your token any more. Paste another one to go on where you are.',
  )
})

// -- the frame

let main
let navigation

function shell(whose, expires, signal) {
  main = h('main', { id: 'main', tabindex: -1 })
  navigation = h('nav', { 'aria-label': 'Views' })
  const state = h('div', { class: 'service-state' })
  const left = h('span', { class: 'quiet' })
  const banner = h('div', { class: 'banner', role: 'alert' })
  const tell = () => {
    tellState(state)
    tellAway(banner)
  }
  health.addEventListener('change', tell, { signal })
  service.addEventListener('news', tell, { signal })
  const tick = () => {
    const seconds = expires ? (expires - Date.now()) / 1_000 : Infinity
    if (seconds <= 0) signOut('Your token has expired. Paste a new one to go on where you are.')
    else {
      patch(left, seconds < WARN_SECONDS ? `token ends in ${duration(seconds)}` : '')
      tellAway(banner)
      tickAll()
    }
  }
  const ticking = setInterval(tick, 1_000)
  signal.addEventListener('abort', () => clearInterval(ticking))
  tell()
  return h('div', { class: 'shell' },
    h('a', { class: 'skip', href: '#main', on: { click: (event) => { event.preventDefault(); main.focus() } } }, 'Skip to the content'),
    h('header', { class: 'top' },
      h('div', { class: 'brand' }, h('strong', {}, 'draftsync'), ' console'),
      state,
      h('div', { class: 'who' }, left,
        h('span', { class: 'quiet zone', title: 'Of this machine: all times are told in it' }, `Times in ${zone()}`),
        h('span', { class: 'whose', title: whose?.sub }, whose?.name ?? whose?.sub ?? ''),
        h('button', { type: 'button', class: 'small', on: { click: () => signOut('You have signed out.') } }, 'Sign out'))),
    navigation,
    h('div', { class: 'below' }, banner, main))
}

const WORDS = { ready: ['good', 'Ready'], draining: ['warn', 'Draining'], 'not saving': ['bad', 'Not saving'] }

function tellState(state) {
  const [kind, words] = health.away ? ['bad', 'No answer'] : (WORDS[service.now?.state] ?? ['quiet', 'Asking …'])
  patch(state, badge(kind, words))
}

function tellAway(banner) {
  banner.hidden = !health.away
  if (!health.away) return
  const wait = Math.max(0, Math.ceil((health.away.next - Date.now()) / 1_000))
  patch(banner,
    h('span', {}, `The service has not answered since ${clock(health.away.since)}: ${health.away.why}. What you see is as of then.`),
    h('span', { class: 'figures', 'aria-hidden': 'true' }, wait ? `Next try in ${wait} s` : 'Trying …'),
    h('button', { type: 'button', class: 'small', on: { click: tryNow } }, 'Try now'))
}

// -- views

function show() {
  if (!signedIn) return
  closeDialogs() // they are about what was shown
  shown?.abort()
  shown = new AbortController()
  const { name, parts, query } = place()
  const found = VIEWS.find((each) => each.name === name)
  patch(navigation, VIEWS.map((each) =>
    h('a', { href: `#/${each.name}`, 'aria-current': each === found ? 'page' : null }, each.title)))
  const make = found && (parts[0] ? found.one : found.view)
  const { title, node } = make ? make({ parts, query, signal: shown.signal }) : missing()
  document.title = `${title} · draftsync console`
  const same = main.dataset.place === `${name}/${parts[0] ?? ''}`
  main.dataset.place = `${name}/${parts[0] ?? ''}`
  main.replaceChildren(node)
  if (!same) window.scrollTo(0, 0)
  if (document.activeElement === document.body) // what had the focus is gone with its view
    ((same && main.querySelector('[aria-current]')) || main).focus({ preventScroll: true })
}

function missing() {
  const title = 'No such view'
  return { title, node: h('div', {}, h('h1', {}, title), h('p', {}, 'Go to the ', link('overview', 'overview'), '.')) }
}

async function begin() {
  const text = handedOver() ?? token.read()
  if (!text) return signOut(null)
  try {
    await admitted(text)
  } catch (error) {
    if (error instanceof Refused) return signOut(error.message)
    if (!(error instanceof Away)) throw error
  }
  enter(text) // while the service is away, the page says so, and waits
}

window.addEventListener('hashchange', () => {
  const text = handedOver()
  if (text !== null) {
    signedIn?.abort()
    signedIn = null
    token.keep(text)
    begin()
  } else show()
})
begin()
