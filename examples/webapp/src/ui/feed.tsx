/** What happens in a session, as sentences; and what one writes into it oneself. */

import './feed.css'
import {
  type KeyboardEvent,
  memo,
  type RefObject,
  useCallback,
  useEffect,
  useId,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from 'react'
import { useConnection, useIdentity, useReadable } from '../hooks'
import * as messages from '../i18n/feed'
import type { Outgoing, Role, Session, SessionChannel, SessionEvent } from '../lib/types'
import { Ago, exactText } from './ago'
import { Avatar } from './avatar'
import { useSeconds } from './clock'
import {
  byDay,
  dayName,
  kindFor,
  type Minute,
  type Names,
  namesOf,
  type Saying,
  saying,
  unsent,
} from './feed-model'
import { parts } from './template'
import { useLocale, useWords } from './words'

const MOST_TEXT = 4_000 // characters of one message

interface FeedProps {
  channel: SessionChannel
  /** The test case that one looks at: what one writes is about it, until one says otherwise. */
  testCase?: string | null
}

/** The event feed of a session, with a field to write into it. It fills its parent's height. */
export function Feed({ channel, testCase = null }: FeedProps) {
  const words = useWords(messages)
  const { session, events, older, outbox } = useReadable(channel.view)
  const self = useIdentity()?.subject ?? null
  const names = useNames(session, events, self)
  const waiting = unsent(outbox, events)
  return (
    <section className="feed" aria-label={words.title}>
      <Log channel={channel} events={events} older={older} names={names} waiting={waiting} />
      {session !== null && <Writing channel={channel} session={session} testCase={testCase} />}
    </section>
  )
}

/** The same until somebody has another name: rows are not rendered anew for each event. */
function useNames(
  session: Session | null,
  events: readonly SessionEvent[],
  self: string | null,
): Names {
  const joined = events.filter((each) => each.kind === 'session.joined').map((each) => each.id)
  const { members, test_cases: cases } = session ?? {}
  // biome-ignore lint/correctness/useExhaustiveDependencies: names come of these parts of them
  return useMemo(() => namesOf(session, events, self), [members, cases, joined.join(), self])
}

// -- the log

interface LogProps {
  channel: SessionChannel
  events: readonly SessionEvent[]
  older: boolean
  names: Names
  waiting: readonly Outgoing[]
}

function Log({ channel, events, older, names, waiting }: LogProps) {
  const words = useWords(messages)
  const list = useRef<HTMLDivElement>(null)
  const { fresh, toEnd, loading, failed, load } = useScroll(list, channel, events, waiting.length)
  const days = useMemo(() => byDay(events), [events])
  return (
    <div className="feed-frame">
      <div
        ref={list}
        className="feed-log"
        role="log"
        aria-label={words.log}
        aria-relevant="additions"
        aria-live={loading ? 'off' : 'polite'} // older events are no news
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys
        tabIndex={0}
      >
        {older && (
          <p className="feed-older">
            <button type="button" className="button" onClick={load} disabled={loading}>
              {loading ? words.olderLoading : words.older}
            </button>
            {failed && <span role="alert">{words.olderFailed}</span>}
          </p>
        )}
        {events.length === 0 && waiting.length === 0 && (
          <div className="feed-empty">
            <p>{words.empty}</p>
            <p>{words.emptyHint}</p>
          </div>
        )}
        {days.map((day) => (
          <section key={day.at} className="feed-day">
            <DayName at={day.at} />
            <ol>
              {day.minutes.map((minute) => (
                <MinuteRows key={minute.key} minute={minute} names={names} />
              ))}
            </ol>
          </section>
        ))}
        {waiting.length > 0 && (
          <ol className="feed-waiting">
            {waiting.map((each) => (
              <Waiting key={each.id} channel={channel} entry={each} names={names} />
            ))}
          </ol>
        )}
      </div>
      {fresh > 0 && (
        <button type="button" className="feed-fresh" onClick={toEnd}>
          {words.fresh(fresh)} ↓
        </button>
      )}
    </div>
  )
}

const AT_END = 24 // pixels from it

/** Stay at the newest event, unless somebody reads further up; then count what comes meanwhile. */
function useScroll(
  list: RefObject<HTMLDivElement | null>,
  channel: SessionChannel,
  events: readonly SessionEvent[],
  waiting: number,
) {
  const atEnd = useRef(true)
  const fromEnd = useRef<number | null>(null) // where one reads, while older events are added
  const top = events.at(-1)?.offset ?? 0
  const first = events[0]?.offset ?? 0
  const newest = useRef(top)
  const [seen, setSeen] = useState(top)
  const [loading, setLoading] = useState(false)
  const [failed, setFailed] = useState(false)

  useEffect(() => {
    const element = list.current
    if (element === null) return
    const onScroll = () => {
      atEnd.current = element.scrollHeight - element.scrollTop - element.clientHeight < AT_END
      if (atEnd.current) setSeen(newest.current)
    }
    element.addEventListener('scroll', onScroll, { passive: true })
    return () => element.removeEventListener('scroll', onScroll)
  }, [list])

  // biome-ignore lint/correctness/useExhaustiveDependencies: they tell that something was added
  useLayoutEffect(() => {
    const element = list.current
    newest.current = top
    if (element === null) return
    if (fromEnd.current !== null) {
      element.scrollTop = element.scrollHeight - fromEnd.current
      fromEnd.current = null
    } else if (atEnd.current) {
      element.scrollTop = element.scrollHeight
      setSeen(top)
    }
  }, [list, first, top, waiting])

  const toEnd = () => {
    atEnd.current = true
    setSeen(top)
    if (list.current !== null) list.current.scrollTop = list.current.scrollHeight
    list.current?.focus()
  }

  const load = () => {
    const element = list.current
    fromEnd.current = element === null ? null : element.scrollHeight - element.scrollTop
    setLoading(true)
    setFailed(false)
    channel
      .older()
      .catch(() => {
        fromEnd.current = null
        setFailed(true)
      })
      .finally(() => setLoading(false))
  }

  return { fresh: Math.max(0, top - seen), toEnd, loading, failed, load }
}

function DayName({ at }: { at: number }) {
  const words = useWords(messages)
  return <p className="feed-day-name">{dayName(at, useSeconds(), useLocale(), words)}</p>
}

interface MinuteProps {
  minute: Minute
  names: Names
}

const MinuteRows = memo(function MinuteRows({ minute, names }: MinuteProps) {
  const words = useWords(messages)
  const locale = useLocale()
  return (
    <li className="feed-minute">
      <Avatar subject={minute.actor} name={names.person(minute.actor)} />
      <ol>
        {minute.events.map((event, n) => (
          <li
            key={event.offset}
            className="feed-event"
            title={exactText(Date.parse(event.time), locale)}
          >
            <Said said={saying(event, names, words)} />
            {n === minute.events.length - 1 && <Ago at={minute.at} className="feed-time" />}
          </li>
        ))}
      </ol>
    </li>
  )
}, sameMinute)

/** A log is only added to: events of a minute are others when there are more of them. */
function sameMinute(a: MinuteProps, b: MinuteProps): boolean {
  const more = a.minute.events.length !== b.minute.events.length
  return a.names === b.names && a.minute.key === b.minute.key && !more
}

function Said({ said }: { said: Saying }) {
  const words = useWords(messages)
  return (
    <>
      <span className="feed-sentence">
        {parts(said.template, said.values).map((part, n) => {
          const key = `${n}${part.slot}`
          return part.slot === null ? (
            <span key={key}>{part.text}</span>
          ) : (
            <strong key={key}>{part.text}</strong>
          )
        })}
      </span>
      {said.text !== null && (
        <p className={said.guidance ? 'feed-text feed-guidance' : 'feed-text'}>{said.text}</p>
      )}
      {said.details !== null && (
        <details className="feed-details">
          <summary>{words.data}</summary>
          <pre>{said.details}</pre>
        </details>
      )}
    </>
  )
}

/** Something of one's own that the log does not have yet. */
function Waiting({
  channel,
  entry,
  names,
}: {
  channel: SessionChannel
  entry: Outgoing
  names: Names
}) {
  const words = useWords(messages)
  const online = useConnection(channel).status === 'online'
  const event = { kind: entry.kind, actor: names.self ?? '', data: entry.data }
  const again = () => {
    channel.discard(entry.id)
    void publish(channel, entry.kind, entry.data)
  }
  return (
    <li className={entry.failed === null ? 'feed-minute' : 'feed-minute feed-failed'}>
      <Avatar subject={event.actor} name={names.person(event.actor)} />
      <div className="feed-event">
        <Said said={saying(event, names, words)} />
        <p className="feed-state">
          {entry.failed !== null ? (
            <span role="alert">{words.failed(entry.failed)}</span>
          ) : (
            <span>{online ? words.sending : words.waiting}</span>
          )}
          {entry.failed !== null && (
            <button type="button" className="button" onClick={again}>
              {words.again}
            </button>
          )}
          {(entry.failed !== null || !online) && (
            <button type="button" className="button" onClick={() => channel.discard(entry.id)}>
              {words.discard}
            </button>
          )}
        </p>
      </div>
    </li>
  )
}

/** What is refused stays in the outbox with its reason: nothing else is to be said of it. */
async function publish(
  channel: SessionChannel,
  kind: string,
  data: Readonly<Record<string, unknown>>,
): Promise<void> {
  await channel.publish(kind, data).catch(() => undefined)
}

// -- writing

interface WritingProps {
  channel: SessionChannel
  session: Session
  testCase: string | null
}

function Writing({ channel, session, testCase }: WritingProps) {
  const words = useWords(messages)
  const identity = useIdentity()
  const member = session.members.find((each) => each.subject === identity?.subject)
  if (session.state === 'stopped') return <p className="feed-closed">{words.closed}</p>
  if (member === undefined || member.joined_at === null) {
    const mayJoin = identity?.sessionRole(session.id) != null
    return mayJoin ? <Join channel={channel} /> : null
  }
  return <Composer channel={channel} session={session} testCase={testCase} role={member.role} />
}

function Join({ channel }: { channel: SessionChannel }) {
  const words = useWords(messages)
  const [problem, setProblem] = useState<string | null>(null)
  const [busy, setBusy] = useState(false)
  const join = () => {
    setBusy(true)
    setProblem(null)
    channel
      .step('join')
      .catch((error: Error) => setProblem(error.message))
      .finally(() => setBusy(false))
  }
  return (
    <div className="feed-closed">
      <span>{words.joinFirst}</span>{' '}
      <button type="button" className="button" onClick={join} disabled={busy}>
        {words.join}
      </button>
      {problem !== null && <p role="alert">{words.joinFailed(problem)}</p>}
    </div>
  )
}

function Composer({ channel, session, testCase, role }: WritingProps & { role: Role }) {
  const words = useWords(messages)
  const [text, setText] = useState('')
  const [chosen, setChosen] = useState<string | null>(null) // null: the one that one looks at
  const field = useRef<HTMLTextAreaElement>(null)
  const hint = useId()
  const about = chosen ?? testCase ?? ''
  const label = role === 'evaluator' ? words.composeNote : words.composeGuidance
  const tooLong = text.length > MOST_TEXT

  const send = useCallback(() => {
    const said = text.trim()
    if (said === '' || tooLong) return
    const data = about === '' ? { text: said } : { text: said, case: about }
    void publish(channel, kindFor(role), data)
    setText('')
    field.current?.focus()
  }, [channel, role, text, tooLong, about])

  const onKeyDown = (event: KeyboardEvent) => {
    // While an input method composes, Enter chooses a word. Safari says so with key code 229 only.
    const composing = event.nativeEvent.isComposing || event.keyCode === 229
    if (event.key !== 'Enter' || event.shiftKey || composing) return
    event.preventDefault()
    send()
  }

  return (
    <form
      className="feed-composer"
      onSubmit={(event) => {
        event.preventDefault()
        send()
      }}
    >
      <textarea
        ref={field}
        className="input"
        aria-label={label}
        aria-describedby={hint}
        aria-invalid={tooLong}
        placeholder={label}
        rows={2}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onKeyDown}
      />
      <div className="feed-composer-row">
        <label>
          <span>{words.about}</span>{' '}
          <select
            className="input"
            value={about}
            onChange={(event) => setChosen(event.target.value)}
          >
            <option value="">{words.aboutAll}</option>
            {session.test_cases.map((each) => (
              <option key={each.id} value={each.id}>
                {each.title ?? each.id}
              </option>
            ))}
          </select>
        </label>
        <button
          type="submit"
          className="button button-primary"
          disabled={text.trim() === '' || tooLong}
        >
          {words.send}
        </button>
      </div>
      <p id={hint} className="feed-hint" role={tooLong ? 'alert' : undefined}>
        {tooLong ? words.tooLong(MOST_TEXT) : words.composeHint}
      </p>
    </form>
  )
}
