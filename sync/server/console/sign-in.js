/** The form that asks for a token. */

import { h } from './dom.js'
import { Away } from './api.js'

/** `why` it is asked; `admitted(text)` throws where a token will not do, else `enter(text)`. */
export function signIn({ why, admitted, enter }) {
  const field = h('textarea', {
    id: 'token', name: 'token', rows: 4, spellcheck: 'false', autocomplete: 'off', autocapitalize: 'off',
    'aria-describedby': 'token-help token-trouble',
  })
  const trouble = h('p', { id: 'token-trouble', class: 'problem', role: 'alert', hidden: !why }, why)
  const go = h('button', { class: 'primary', type: 'submit' }, 'Sign in')
  const refuse = (text) => {
    trouble.textContent = text
    trouble.hidden = false
    field.setAttribute('aria-invalid', 'true')
    field.focus()
  }
  const submit = async (event) => {
    event.preventDefault()
    const text = field.value.trim().replace(/^Bearer\s+/i, '')
    if (!text) return refuse('Paste a token first.')
    if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(text)) return refuse('This is no token: one has three parts with dots between them. Paste all of it.')
    go.disabled = true
    try {
      await admitted(text)
      enter(text)
    } catch (error) {
      refuse(error instanceof Away ? `The service does not answer: ${error.message}. Try again in a moment.` : error.message)
    } finally {
      go.disabled = false
    }
  }
  return h('main', { class: 'sign-in' },
    h('form', { class: 'card', novalidate: true, on: { submit } },
      h('h1', {}, 'draftsync console'),
      h('p', {}, 'For the person who runs the service. Sign in with an administrator’s token.'),
      trouble,
      h('label', { for: 'token' }, 'Token'),
      field,
      h('p', { id: 'token-help', class: 'quiet' },
        'Made by your application, or by ', h('code', {}, 'draftsync token --sub you --role admin'),
        '. It stays in this tab, and is forgotten when the tab is closed.'),
      go))
}
