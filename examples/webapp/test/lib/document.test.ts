/** One document against a service in memory, which speaks the real protocol. */
import 'fake-indexeddb/auto'
import { setMaxListeners } from 'node:events'
import { IDBFactory } from 'fake-indexeddb'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import * as Y from 'yjs'
import { LocalCopy } from '../../src/lib/local'
import { createClient } from '../../src/lib/sync-client'
import { type Client, Denied, type OpenDocument, type TokenSource } from '../../src/lib/types'
import { DocumentServer } from '../support/document-server'
import { type Grants, signToken } from '../support/service'
import { until } from '../support/until'

const NAME = 'drafts/s1/case'
const WRITE: Grants = { docs: { 'drafts/*': 'write' }, sessions: { '*': 'join' } }
const clients: Client[] = []
let server: DocumentServer
let page: EventTarget

const token = (subject: string, grants = WRITE): string =>
  signToken('-'.repeat(32), subject, grants)

interface Who {
  subject?: string
  grants?: Grants
  source?: TokenSource
  broadcast?: boolean
  at?: DocumentServer
}

function connect(who: Who = {}): Client {
  const { subject = 'alice', grants = WRITE, broadcast = false, at = server } = who
  const client = createClient({
    url: 'http://service.test',
    token: who.source ?? (async () => token(subject, grants)),
    WebSocket: at.WebSocket,
    broadcast,
    page,
    random: () => 0,
  })
  clients.push(client)
  return client
}

const open = (who: Who = {}): OpenDocument => connect(who).document(NAME)

const online = (document: OpenDocument) =>
  until(document.connection, ({ status }) => status === 'online')
const saved = (document: OpenDocument) => until(document.saving, ({ state }) => state === 'saved')
const answers = (document: OpenDocument) => document.doc.getMap<string | number>('ratings')

/** A page that ends without a word, as in a crash, once its transactions are done. */
async function crash(): Promise<void> {
  const ended = clients.splice(0)
  await Promise.all(ended.map((client) => client.close()))
}

beforeEach(() => {
  vi.stubGlobal('indexedDB', new IDBFactory())
  server = new DocumentServer()
  page = new EventTarget()
  setMaxListeners(50, page) // of many tabs in one process
})

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()))
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

describe('what is saved', () => {
  it('is what the service has on its disk, and nothing before that', async () => {
    const document = open()
    await online(document)
    await saved(document)
    server.commits = false
    answers(document).set('a', 1)
    expect(document.saving.get()).toMatchObject({ waiting: 1, state: 'saving' })
    await vi.waitFor(() => expect(server.memory.getMap('ratings').has('a')).toBe(true))
    expect(document.saving.get().state).toBe('saving')
    server.commit()
    await document.saved()
    expect(document.saving.get()).toMatchObject({ state: 'saved', waiting: 0 })
  })

  it('is not said before the service was sent what was edited offline', async () => {
    server.isDown = true
    server.asks = false
    const document = open()
    answers(document).set('a', 1)
    await until(document.connection, ({ status }) => status === 'offline')
    expect(document.saving.get()).toMatchObject({ state: 'unsaved', waiting: 1 })
    server.isDown = false
    await online(document) // it has answered our step1, and not asked for anything
    answers(document).set('b', 2)
    await vi.waitFor(() => expect(server.received).toContain(102)) // the probe
    expect(document.saving.get().state).toBe('unsaved')
    server.ask()
    await document.saved()
    expect(server.has(document.doc)).toBe(true)
  })

  it('survives a crash of the service: what it forgot is sent again', async () => {
    const document = open()
    await online(document)
    server.commits = false
    answers(document).set('a', 1)
    await vi.waitFor(() => expect(server.memory.getMap('ratings').has('a')).toBe(true))
    server.crash()
    await until(document.saving, ({ state }) => state === 'unsaved')
    server.commits = true
    await document.saved()
    expect(server.has(document.doc)).toBe(true)
  })

  it('counts what a reader edits as refused, though barriers come back', async () => {
    server.admit = () => 'read'
    const document = open()
    await online(document)
    answers(document).set('a', 1)
    await expect(document.saved()).rejects.toThrow(Denied)
    answers(document).set('b', 1)
    await until(document.connection, ({ latency }) => latency !== null)
    const refused = { state: 'unsaved', waiting: 2, refused: 'read-only' }
    expect(document.saving.get()).toMatchObject(refused)
    server.admit = () => 'write'
    document.reconnect()
    await document.saved()
    expect(server.has(document.doc)).toBe(true)
  })
})

describe('what this device keeps', () => {
  it('waits after a crash too, deletions as well, until it is saved', async () => {
    const before = open()
    await online(before)
    answers(before).set('a', 1)
    await before.saved()
    const { savedAt } = before.saving.get()
    server.isDown = true
    server.closeAll(1006, '')
    answers(before).delete('a')
    await crash()

    const offline = open()
    await offline.ready
    expect(answers(offline).has('a')).toBe(false)
    expect(offline.saving.get()).toMatchObject({ state: 'unsaved', waiting: 1, savedAt })
    await crash()

    server.isDown = false
    const again = open()
    await again.ready
    expect(again.saving.get().waiting).toBe(1)
    await saved(again)
    expect(server.disk.getMap('ratings').has('a')).toBe(false)
    expect(server.has(again.doc)).toBe(true)
    await crash()

    server.isDown = true
    const last = open()
    await last.ready
    expect(last.saving.get()).toMatchObject({ state: 'saved', waiting: 0 })
    expect(last.saving.get().savedAt).toBeGreaterThanOrEqual(savedAt ?? Number.NaN)
  })

  it('waits where an edit came after the barrier that came back', async () => {
    const before = open()
    await online(before)
    await until(before.saving, (told) => told.savedAt !== null)
    const { savedAt } = before.saving.get()
    server.commits = false
    answers(before).set('a', 1)
    await vi.waitFor(() => expect(server.memory.getMap('ratings').has('a')).toBe(true))
    answers(before).set('b', 1)
    expect(before.saving.get().waiting).toBe(2)
    server.commit()
    await until(before.saving, ({ waiting }) => waiting === 1)
    await crash()
    server.isDown = true
    const after = open()
    await after.ready
    expect(after.saving.get().state).toBe('unsaved')
    expect([null, savedAt]).toContain(after.saving.get().savedAt)
  })

  it('is written together with its mark', async () => {
    const other = new Y.Doc()
    other.getMap('ratings').set('a', 1)
    const local = new LocalCopy({ name: 'd', doc: new Y.Doc(), onKept: () => {} })
    await local.load()
    local.edited(Y.encodeStateAsUpdate(other), 1, 1) // y-indexeddb has not seen it yet
    await local.close()
    const doc = new Y.Doc()
    const next = new LocalCopy({ name: 'd', doc, onKept: () => {} })
    expect(await next.load()).toEqual({ waiting: 1, savedAt: null })
    expect(doc.getMap('ratings').get('a')).toBe(1)
    await next.close()
  })

  it('is said to be nothing when the disk is full, and is all of it when it is not any more', async () => {
    const doc = new Y.Doc()
    const onKept = vi.fn()
    const local = new LocalCopy({ name: 'd', doc, onKept })
    await local.load()
    // Not through y-indexeddb, which keeps nothing of its own origin.
    doc.on('update', (update: Uint8Array) => local.edited(update, 1, 1))
    const edit = (key: string): number =>
      doc.transact(() => doc.getMap<number>('ratings').set(key, 1), local.origin)
    const put = vi.spyOn(IDBObjectStore.prototype, 'put').mockImplementation(function (
      this: IDBObjectStore,
      value,
      key,
    ) {
      const request = this.get(key as IDBValidKey)
      request.onsuccess = () => this.transaction.abort() // as a full disk does
      return request as IDBRequest<typeof value>
    })
    edit('a')
    await vi.waitFor(() => expect(onKept).toHaveBeenLastCalledWith(false))
    put.mockRestore()
    edit('b')
    await vi.waitFor(() => expect(onKept).toHaveBeenLastCalledWith(true))
    await local.close()
    const after = new Y.Doc()
    const next = new LocalCopy({ name: 'd', doc: after, onKept })
    expect(await next.load()).toMatchObject({ waiting: 1 })
    expect(after.getMap('ratings').toJSON()).toEqual({ a: 1, b: 1 })
    await next.close()
  })

  it('has edits that were made before it was open', async () => {
    server.isDown = true
    const before = open()
    answers(before).set('early', 1)
    await before.ready
    await crash()
    const after = open()
    await after.ready
    expect(answers(after).get('early')).toBe(1)
    expect(after.saving.get()).toMatchObject({ state: 'unsaved', waiting: 1 })
  })

  it('has one mark for each tab: the barrier of one does not speak for the other', async () => {
    const cutOff = new DocumentServer()
    cutOff.isDown = true
    const here = open()
    const there = open({ at: cutOff })
    await online(here)
    await there.ready
    answers(there).set('there', 1)
    answers(here).set('here', 1)
    await here.saved()
    await crash()
    server.isDown = true
    const after = open()
    await after.ready
    expect([...answers(after).keys()].sort()).toEqual(['here', 'there'])
    expect(after.saving.get()).toMatchObject({ state: 'unsaved', waiting: 1 })
  })

  it('takes over the mark of a tab that has gone, and leaves that of one that edits on', async () => {
    const cutOff = new DocumentServer()
    cutOff.isDown = true
    const there = open({ at: cutOff })
    await there.ready
    answers(there).set('there', 1)
    await there.ready
    server.asks = false
    const here = open()
    await here.ready
    expect(here.saving.get().waiting).toBe(1) // it has that edit
    await online(here)
    answers(there).set('there', 2) // and not this one
    server.ask()
    await here.saved()
    await crash()
    server.isDown = true
    const after = open()
    await after.ready
    expect(answers(after).get('there')).toBe(2)
    expect(after.saving.get().state).toBe('unsaved')
  })

  it('may be nothing: then it says so, and goes on', async () => {
    vi.stubGlobal('indexedDB', undefined)
    const document = open()
    answers(document).set('a', 1)
    await document.ready
    expect(document.loaded.get()).toBe(true)
    await document.saved()
    expect(document.saving.get()).toMatchObject({ state: 'saved', keptHere: false })
    expect(server.has(document.doc)).toBe(true)
  })

  it('is apart for each person', async () => {
    server.isDown = true
    const alice = open()
    answers(alice).set('a', 1)
    await alice.ready
    const bob = open({ subject: 'bob' })
    await bob.ready
    expect(answers(bob).size).toBe(0)
    expect(bob.saving.get().waiting).toBe(0)
  })
})

describe('tabs', () => {
  it('exchange edits of one person offline, which wait in each of them', async () => {
    server.isDown = true
    const one = open({ broadcast: true })
    const two = open({ broadcast: true })
    const bob = open({ subject: 'bob', broadcast: true })
    await Promise.all([one.ready, two.ready, bob.ready])
    answers(one).set('a', 1)
    await until(two.saving, ({ state, waiting }) => state === 'unsaved' && waiting === 1)
    expect(answers(two).get('a')).toBe(1)
    for (let n = 2; n < 12; n += 1) {
      const [from, to] = n % 2 === 0 ? [two, one] : [one, two]
      answers(from).set('a', n) // each by itself: tabs that meet exchange everything once
      await until(to.saving, ({ waiting }) => waiting === n)
      expect(answers(to).get('a')).toBe(n)
    }
    const three = open({ broadcast: true })
    await three.ready
    await until(three.saving, ({ state }) => state === 'unsaved')
    expect(answers(bob).size).toBe(0)
    server.isDown = false
    for (const each of [one, two, three]) each.reconnect()
    await Promise.all([saved(one), saved(two), saved(three)])
    expect(server.has(one.doc)).toBe(true)
  })
})

describe('the connection', () => {
  it('is denied for good by a verdict, until somebody asks again', async () => {
    server.admit = () => ({ code: 4403, reason: 'no right to this document' })
    const document = open()
    const { verdict } = await until(document.connection, ({ status }) => status === 'denied')
    expect(verdict).toEqual({ code: 4403, reason: 'no right to this document' })
    answers(document).set('a', 1)
    await expect(document.saved()).rejects.toThrow('no right')
    server.admit = () => 'write'
    document.reconnect()
    await document.saved()
  })

  it('becomes a reader when the session is stopped and nothing waits', async () => {
    const document = open()
    await online(document)
    await saved(document)
    server.admit = () => 'sealed'
    server.closeAll(4409, 'the session is stopped')
    await until(document.access, (access) => access === 'read')
    await online(document)
    expect(document.saving.get()).toMatchObject({ state: 'saved', refused: 'read-only' })
  })

  it('keeps edits that a stopped session does not take, and says why', async () => {
    const document = open()
    await online(document)
    await saved(document)
    server.closeAll(1006, '')
    answers(document).set('late', 1)
    server.admit = () => 'sealed'
    await until(document.connection, ({ status }) => status === 'denied')
    expect(document.access.get()).toBe('read')
    expect(document.saving.get()).toMatchObject({
      state: 'unsaved',
      waiting: 1,
      refused: 'the session is stopped',
    })
    expect(answers(document).get('late')).toBe(1)
    await expect(document.saved()).rejects.toThrow('stopped')
  })

  it('does not go round in circles with a stopped session that lacks something', async () => {
    server.isDown = true
    const before = open()
    answers(before).set('a', 1)
    await before.ready
    const update = Y.encodeStateAsUpdate(before.doc)
    server.isDown = false
    server.admit = () => 'sealed'
    const document = open({ subject: 'bob' })
    await online(document)
    Y.applyUpdate(server.memory, update) // it has something that we get,
    server.closeAll(1006, '')
    await until(document.connection, ({ retries }) => retries > 0)
    await online(document)
    server.memory = new Y.Doc() // and loses it: a backup was restored
    server.closeAll(4409, 'the session is stopped')
    await until(document.connection, ({ status }) => status === 'denied')
    expect(document.saving.get()).toMatchObject({ state: 'unsaved', waiting: 1 })
  })

  it('renews a token that the service calls expired, and connects again', async () => {
    let made = 0
    const source = async (): Promise<string> => {
      made += 1
      return token(`alice`)
    }
    const document = open({ source })
    await online(document)
    server.closeAll(4401, 'token-expired: get a new token')
    await until(document.connection, ({ status }) => status === 'connecting')
    await online(document)
    expect(made).toBe(2)
    expect(new Set(server.tokens).size).toBe(2)
  })

  it('never connects with a token that it knows to have expired', async () => {
    const old = token('alice', { ...WRITE, ttl: -5 })
    const source = vi.fn(async (stale: string | null) => (stale === null ? old : token('alice')))
    const document = open({ source })
    await online(document)
    expect(source).toHaveBeenCalledTimes(2)
    expect(server.tokens).not.toContain(old)
  })

  it('is denied when there will never be a token', async () => {
    const source = async (): Promise<string> => {
      throw new Denied('sign in again')
    }
    const document = open({ source })
    const { verdict } = await until(document.connection, ({ status }) => status === 'denied')
    expect(verdict).toEqual({ code: 4401, reason: 'sign in again' })
  })

  it('lets edits wait, and calls none refused, when one has to sign in again', async () => {
    const source = async (stale: string | null): Promise<string> => {
      if (stale !== null) throw new Denied('sign in again')
      return token('alice', WRITE)
    }
    const document = open({ source })
    await online(document)
    server.closeAll(4401, 'token-expired: get a new token')
    await until(document.connection, ({ status }) => status === 'denied')
    document.doc.getMap('form').set('verdict', 'pass')
    expect(document.saving.get()).toMatchObject({ state: 'unsaved', waiting: 1, refused: null })
  })

  it('replaces its token on the open socket', async () => {
    let ttl = 2
    const source = async (): Promise<string> => {
      const made = token('alice', { ...WRITE, ttl })
      ttl = 3_600
      return made
    }
    const document = open({ source })
    const { since } = await online(document)
    await vi.waitFor(() => expect(server.renewed).toHaveLength(1), 3_000)
    expect(server.tokens).not.toContain(server.renewed[0])
    expect(document.connection.get()).toMatchObject({ status: 'online', since })
  })

  it('counts, and measures the round trip', async () => {
    const document = open()
    const told = await until(document.connection, ({ latency }) => latency !== null)
    expect(told.sent).toBeGreaterThan(0)
    expect(told.received).toBeGreaterThan(0)
  })
})

describe('a socket on which nobody is', () => {
  beforeEach(() => {
    vi.stubGlobal('indexedDB', undefined) // whose turns are not those of a fake clock
    vi.useFakeTimers()
  })

  async function openOnline(): Promise<OpenDocument> {
    const document = open()
    await vi.advanceTimersByTimeAsync(100)
    expect(document.connection.get().status).toBe('online')
    return document
  }

  it('is given up within 18 s, and the next one is tried', async () => {
    const document = await openOnline()
    server.isCut = true
    answers(document).set('a', 1)
    await vi.advanceTimersByTimeAsync(18_000)
    expect(document.connection.get().status).not.toBe('online')
    expect(document.saving.get().state).toBe('unsaved')
    await vi.advanceTimersByTimeAsync(4_000)
    expect(document.connection.get().status).toBe('offline')
    server.isCut = false
    await vi.advanceTimersByTimeAsync(15_000)
    expect(document.connection.get().status).toBe('online')
    expect(document.saving.get().state).toBe('saved')
    expect(server.has(document.doc)).toBe(true)
  })

  it('is given up within 3 s when the browser says offline, and only if that is so', async () => {
    const document = await openOnline()
    page.dispatchEvent(new Event('offline'))
    await vi.advanceTimersByTimeAsync(5_000)
    expect(document.connection.get().status).toBe('online')
    server.isCut = true
    page.dispatchEvent(new Event('offline'))
    await vi.advanceTimersByTimeAsync(3_000)
    expect(document.connection.get().status).not.toBe('online')
  })

  it('is not given up while the disk of the service is slow', async () => {
    const document = await openOnline()
    server.commits = false
    answers(document).set('a', 1)
    const { since } = document.connection.get()
    await vi.advanceTimersByTimeAsync(60_000)
    expect(document.connection.get()).toMatchObject({ status: 'online', since })
    expect(document.saving.get().state).toBe('saving')
  })

  it('is followed by attempts that become rare, and by one at once with the word online', async () => {
    const document = await openOnline()
    server.isDown = true
    server.closeAll(1012, '')
    await vi.advanceTimersByTimeAsync(60_000)
    const { retries, retryAt, status } = document.connection.get()
    expect(status).toBe('offline')
    expect(retries).toBeGreaterThan(10)
    expect(retries).toBeLessThan(40)
    expect(retryAt).toBeGreaterThan(Date.now())
    server.isDown = false
    page.dispatchEvent(new Event('online'))
    await vi.advanceTimersByTimeAsync(50)
    expect(document.connection.get()).toMatchObject({ status: 'online', retries: 0, retryAt: null })
  })
})

describe('who is there', () => {
  it('is told by name, field and selection, with objects that stay', async () => {
    const alice = open()
    const bob = open({ subject: 'bob' })
    await Promise.all([online(alice), online(bob)])
    bob.setPresence('q1', { anchor: 1, head: 3 })
    const peers = await until(alice.peers, (each) => each.some(({ field }) => field === 'q1'))
    expect(peers).toHaveLength(2)
    const seen = peers.find(({ self }) => !self)
    expect(seen).toMatchObject({ subject: 'bob', role: 'evaluator', selection: { head: 3 } })
    alice.setPresence('q2')
    const after = await until(alice.peers, (each) => each.some(({ field }) => field === 'q2'))
    expect(after.find(({ self }) => !self)).toBe(seen)
    page.dispatchEvent(new Event('pagehide'))
    await until(alice.peers, (each) => each.length === 0)
  })
})

describe('opening and releasing', () => {
  it('is one document for all who have it open, and ends some time after the last', async () => {
    const client = connect()
    const first = client.document(NAME)
    expect(client.document(NAME)).toBe(first)
    await online(first)
    first.release()
    first.release()
    expect(client.document(NAME)).toBe(first) // within the linger
    first.release()
    await vi.waitFor(() => expect(server.sockets.size).toBe(0), 3_000)
    expect(client.document(NAME)).not.toBe(first)
  })
})
