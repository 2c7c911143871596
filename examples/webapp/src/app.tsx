/** What is around the pages: who one is, which page it is, and what to do when one breaks. */

import {
  Component,
  lazy,
  type ReactNode,
  Suspense,
  useEffect,
  useId,
  useState,
  useSyncExternalStore,
} from 'react'
import { ClientProvider } from './hooks'
import { LANGUAGES, type Language, setLanguage } from './i18n'
import * as messages from './i18n/common'
import { createClient } from './lib/sync-client'
import type { Client } from './lib/types'
import { EvaluatePage } from './pages/evaluate'
import { StartPage } from './pages/start'
import { registerServiceWorker } from './register-sw'
import { useRoute } from './route'
import { continueAs, knownPeople, leaveTab, type Person, tokenSource } from './sign-in'
import { Avatar } from './ui/avatar'
import { Brand } from './ui/brand'
import { Icon } from './ui/icons'
import { setTheme, THEMES, type Theme, theme } from './ui/theme'
import { Toasts } from './ui/toasts'
import { useLocale, useWords } from './ui/words'
import { sendUnsent } from './unsent'

const MonitorPage = lazy(() =>
  import('./pages/monitor').then((module) => ({ default: module.MonitorPage })),
)

interface AppProps {
  /** Who this tab is; null: not known. */
  person: Person | null
  badLink: boolean
}

export function App({ person, badLink }: AppProps) {
  const [who, setWho] = useState(person)
  return (
    <Boundary>
      <SkipLink />
      {who === null ? (
        <SignIn badLink={badLink} onPerson={setWho} />
      ) : (
        <SignedIn key={who.subject} person={who} />
      )}
      <Toasts />
      <NewVersion />
    </Boundary>
  )
}

function SkipLink() {
  const words = useWords(messages)
  // Not by the address: that is where the page stands.
  const skip = () => {
    const main = document.getElementById('main')
    main?.setAttribute('tabindex', '-1')
    main?.focus()
  }
  return (
    // biome-ignore lint/a11y/useValidAnchor: it leads within the page, whose address is its route
    <a
      className="skip-link"
      href="#main"
      onClick={(event) => {
        event.preventDefault()
        skip()
      }}
    >
      {words.skip}
    </a>
  )
}

// -- with somebody

function SignedIn({ person }: { person: Person }) {
  const client = useOwnClient(person.subject)
  return client === null ? null : (
    <ClientProvider client={client}>
      <Pages person={person} />
    </ClientProvider>
  )
}

/** One client for as long as the page is there. */
function useOwnClient(subject: string): Client | null {
  const [client, setClient] = useState<Client | null>(null)
  useEffect(() => {
    const created = createClient({ url: location.origin, token: tokenSource(subject) })
    setClient(created)
    sendUnsent(created, subject)
    return () => {
      setClient(null)
      void created.close()
    }
  }, [subject])
  return client
}

function Pages({ person }: { person: Person }) {
  const route = useRoute()
  if (route.page === 'evaluate') {
    const { session, testCase } = route
    const preferences = <Preferences person={person} />
    return (
      <EvaluatePage key={session} session={session} testCase={testCase} preferences={preferences} />
    )
  }
  return (
    <>
      <TopBar person={person} />
      {route.page === 'monitor' ? (
        <Suspense fallback={<main id="main" aria-busy="true" />}>
          <MonitorPage session={route.session} />
        </Suspense>
      ) : (
        <StartPage />
      )}
    </>
  )
}

function TopBar({ person }: { person: Person | null }) {
  return (
    <header className="topbar">
      <Brand />
      <div className="topbar-slot" />
      <Preferences person={person} />
    </header>
  )
}

function Preferences({ person }: { person: Person | null }) {
  const words = useWords(messages)
  const id = useId()
  const locale = useLocale()
  const chosen = useSyncExternalStore(theme.subscribe, theme.get)
  const another = () => {
    leaveTab()
    location.hash = '#/'
    location.reload()
  }
  return (
    <>
      <button
        type="button"
        className="button button-quiet button-icon"
        popoverTarget={id}
        aria-label={words.preferences}
        title={words.preferences}
      >
        <Icon name="sliders" />
      </button>
      <div id={id} popover="auto" className="popover">
        <div className="popover-body">
          {person !== null && <p>{words.signedIn(person.name)}</p>}
          <label className="label">
            {words.language}
            <select
              className="input"
              value={locale}
              onChange={(event) => setLanguage(event.target.value as Language)}
            >
              {LANGUAGES.map((each) => (
                <option key={each.id} value={each.id} lang={each.id}>
                  {each.name}
                </option>
              ))}
            </select>
          </label>
          <label className="label">
            {words.theme}
            <select
              className="input"
              value={chosen}
              onChange={(event) => setTheme(event.target.value as Theme)}
            >
              {THEMES.map((each) => (
                <option key={each} value={each}>
                  {words.themes[each]}
                </option>
              ))}
            </select>
          </label>
          {person !== null && (
            <button type="button" className="button" onClick={another}>
              {words.another}
            </button>
          )}
        </div>
      </div>
    </>
  )
}

// -- without anybody

interface SignInProps {
  badLink: boolean
  onPerson: (person: Person) => void
}

function SignIn({ badLink, onPerson }: SignInProps) {
  const words = useWords(messages)
  const people = knownPeople()
  const choose = (person: Person) => {
    continueAs(person)
    onPerson(person)
  }
  const title = badLink
    ? words.badLinkTitle
    : people.length > 0
      ? words.whoTitle
      : words.noLinkTitle
  return (
    <>
      <TopBar person={null} />
      <main className="notice" id="main">
        <h1>{title}</h1>
        {badLink && <p>{words.badLink}</p>}
        {people.length > 0 ? (
          <>
            <p className="muted">{words.who}</p>
            <div className="notice-people">
              {people.map((each) => (
                <button
                  key={each.subject}
                  type="button"
                  className="button"
                  onClick={() => choose(each)}
                >
                  <Avatar subject={each.subject} name={each.name} />
                  {words.continueAs(each.name)}
                </button>
              ))}
            </div>
          </>
        ) : (
          <>
            {!badLink && <p>{words.noLink}</p>}
            <p className="muted">{words.noLinkDemo}</p>
          </>
        )}
      </main>
    </>
  )
}

// -- when something is new, or breaks

function NewVersion() {
  const words = useWords(messages)
  const [apply, setApply] = useState<(() => void) | null>(null)
  useEffect(() => {
    void registerServiceWorker((take) => setApply(() => take))
  }, [])
  return (
    <div className="toasts toasts-start" role="status">
      {apply !== null && (
        <div className="toast">
          <div>{words.newVersion}</div>
          <button type="button" className="button" onClick={apply}>
            {words.reload}
          </button>
        </div>
      )}
    </div>
  )
}

class Boundary extends Component<{ children: ReactNode }, { error: Error | null }> {
  override state: { error: Error | null } = { error: null }

  static getDerivedStateFromError(error: Error): { error: Error } {
    return { error }
  }

  override render(): ReactNode {
    const { error } = this.state
    return error === null ? this.props.children : <Broken error={error} />
  }
}

function Broken({ error }: { error: Error }) {
  const words = useWords(messages)
  return (
    <main className="notice" id="main" role="alert">
      <h1>{words.brokenTitle}</h1>
      <p>{words.broken}</p>
      <details className="muted">
        <summary>{words.brokenDetail}</summary>
        {error.message}
      </details>
      <div className="notice-actions">
        <button type="button" className="button button-primary" onClick={() => location.reload()}>
          {words.reload}
        </button>
      </div>
    </main>
  )
}
