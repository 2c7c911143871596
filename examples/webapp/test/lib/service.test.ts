import 'fake-indexeddb/auto'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket as NodeWebSocket } from 'ws'
import { createClient } from '../../src/lib/sync-client'
import type { Client } from '../../src/lib/types'
import { type Grants, haveService, Service } from '../support/service'
import { held, until } from '../support/until'

const TIMEOUT = 60_000
const WRITE: Grants = { docs: { 'drafts/*': 'write' } }

describe.skipIf(!haveService)('with the real service (skipped without ../../.venv)', () => {
  const clients: Client[] = []
  const service = new Service()

  beforeAll(() => service.start(), TIMEOUT)
  afterAll(() => service.stop(), TIMEOUT)

  function connect(subject: string, grants = WRITE): Client {
    const client = createClient({
      url: service.url,
      token: async () => service.token(subject, grants),
      WebSocket: NodeWebSocket as unknown as typeof WebSocket, // the same but for its events' types
      page: new EventTarget(),
      broadcast: false,
    })
    clients.push(client)
    return client
  }

  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.close()))
  })

  it(
    'hands edits on, and says when they are saved',
    async () => {
      const alice = connect('alice').document('drafts/1')
      const bob = connect('bob').document('drafts/1')
      alice.doc.getMap('fields').set('verdict', 'pass')
      await alice.saved()
      expect(alice.saving.get()).toMatchObject({ state: 'saved', waiting: 0, keptHere: true })
      await until(bob.connection, ({ status }) => status === 'online')
      expect(bob.doc.getMap('fields').get('verdict')).toBe('pass')
      await until(bob.peers, (peers) => peers.length === 2)
      await until(alice.connection, ({ latency }) => latency !== null)
    },
    TIMEOUT,
  )

  it(
    'keeps everything that was ever called saved when it is killed mid-typing',
    async () => {
      const alice = connect('alice').document('drafts/2')
      const written = alice.doc.getArray<number>('written')
      let called = 0
      alice.saving.subscribe(() => {
        const { state } = alice.saving.get()
        if (state === 'saved') called = Math.max(called, written.length)
      })
      await until(alice.connection, ({ status }) => status === 'online')
      const counts: number[] = []
      for (let round = 0; round < 3; round += 1) {
        const typing = setInterval(() => written.push([written.length]), 2)
        const begun = called
        await until(alice.saving, () => called > begun + 20)
        await service.kill()
        const promised = called
        clearInterval(typing)
        written.push([written.length]) // nobody is there to take it
        await until(alice.saving, ({ state }) => state === 'unsaved')
        await service.start()
        const fresh = connect(`reader-${round}`, { docs: { '*': 'read' } })
        const seen = fresh.document('drafts/2')
        await until(seen.connection, ({ status }) => status === 'online')
        counts.push(promised)
        const there = seen.doc.getArray<number>('written').toArray()
        expect(there.slice(0, promised)).toEqual([...Array(promised).keys()])
        await until(alice.saving, ({ state }) => state === 'saved')
        await until(held(seen.doc), (doc) => doc.getArray('written').length === written.length)
        await fresh.close()
      }
      expect(counts.every((count) => count > 0)).toBe(true)
    },
    TIMEOUT,
  )

  it(
    'lets a reader edit nothing, and never calls that saved',
    async () => {
      const reader = connect('rita', { docs: { '*': 'read' } }).document('drafts/3')
      await until(reader.connection, ({ status }) => status === 'online')
      reader.doc.getMap('fields').set('verdict', 'pass')
      await expect(reader.saved()).rejects.toThrow('read-only')
      const refused = { state: 'unsaved', waiting: 1, refused: 'read-only' }
      expect(reader.saving.get()).toMatchObject(refused)
    },
    TIMEOUT,
  )

  it(
    'renews its token on the open socket',
    async () => {
      const client = connect('alice', { ...WRITE, ttl: 4 })
      const alice = client.document('drafts/4')
      await until(alice.connection, ({ status }) => status === 'online')
      const first = client.identity.get()?.expires ?? 0
      const online = alice.connection.get().since
      await until(client.identity, (identity) => (identity?.expires ?? 0) > first + 2_000)
      alice.doc.getMap('fields').set('late', true)
      await alice.saved()
      expect(alice.connection.get()).toMatchObject({ status: 'online', since: online })
    },
    TIMEOUT,
  )

  it(
    'lets people read on in a session that was stopped, and keeps what came too late',
    async () => {
      const grants: Grants = { ...WRITE, sessions: { '*': 'lead' } }
      const { api } = connect('lena', grants)
      await api.create({ id: 's1', project: 'p', test_cases: ['a'] })
      await api.step('s1', 'start')
      const alice = connect('alice').document('drafts/s1/a')
      const bob = connect('bob').document('drafts/s1/a')
      alice.doc.getMap('ratings').set('alice/q', 1)
      await alice.saved()
      await until(bob.saving, ({ savedAt }) => savedAt !== null)
      await api.step('s1', 'stop')
      await until(alice.access, (access) => access === 'read')
      await until(alice.connection, ({ status }) => status === 'online')
      expect(alice.saving.get()).toMatchObject({ state: 'saved', refused: 'read-only' })
      await until(bob.connection, ({ status }) => status === 'online')
      bob.doc.getMap('ratings').set('bob/q', 1)
      await expect(bob.saved()).rejects.toThrow('stopped')
      await until(bob.connection, ({ status }) => status === 'denied')
      expect(bob.saving.get()).toMatchObject({ state: 'unsaved', waiting: 1 })
    },
    TIMEOUT,
  )

  it(
    'is denied for good where it has no right',
    async () => {
      const alice = connect('alice').document('other/1')
      const { verdict } = await until(alice.connection, ({ status }) => status === 'denied')
      expect(verdict?.code).toBe(4403)
      alice.doc.getMap('fields').set('verdict', 'pass')
      await expect(alice.saved()).rejects.toThrow()
      expect(alice.saving.get()).toMatchObject({ state: 'unsaved', waiting: 1 })
    },
    TIMEOUT,
  )
})
