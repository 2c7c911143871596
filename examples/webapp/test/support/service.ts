/** The real service, in a process of its own, for tests that need nothing less. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHmac, randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'

const ROOT = resolve(import.meta.dirname, '../../../..')
const PYTHON = join(ROOT, '.venv/bin/python')

/** Whether there is a service to start here. */
export const haveService = existsSync(PYTHON)

export interface Grants {
  readonly docs?: Readonly<Record<string, 'read' | 'write'>>
  readonly sessions?: Readonly<Record<string, 'observe' | 'join' | 'lead'>>
  readonly role?: 'admin'
  /** The subject where it is left out. */
  readonly name?: string
  /** Seconds until it expires; an hour where it is left out. */
  readonly ttl?: number
}

export class Service {
  readonly #secret = randomBytes(32).toString('hex')
  readonly #directory = mkdtempSync(join(tmpdir(), 'draftsync-webapp-'))
  #process: ChildProcess | null = null
  #port = 0
  url = ''

  /** Start it; after it was killed, at the same address, with the same database. */
  async start(): Promise<void> {
    const database = join(this.#directory, 'd.db')
    const options = ['serve', '--port', `${this.#port}`, '--database', database]
    const started = spawn(PYTHON, ['-m', 'sync.cli.main', ...options], {
      cwd: ROOT,
      env: { ...process.env, DRAFTSYNC_JWT_SECRET: this.#secret },
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    this.#process = started
    this.url = await ready(started)
    this.#port = Number(new URL(this.url).port)
  }

  /** As a power cut would: nothing is finished. */
  async kill(): Promise<void> {
    const ended = this.#process
    this.#process = null
    if (ended === null || ended.exitCode !== null) return
    const gone = new Promise((done) => ended.once('exit', done))
    ended.kill('SIGKILL')
    await gone
  }

  /** End it, and remove its database. */
  async stop(): Promise<void> {
    await this.kill()
    rmSync(this.#directory, { recursive: true, force: true })
  }

  token(sub: string, grants: Grants): string {
    return signToken(this.#secret, sub, grants)
  }
}

/** A JSON Web Token, as `draftsync token` makes them. */
export function signToken(secret: string, sub: string, grants: Grants): string {
  const { name = sub, ttl = 3_600, ...claimed } = grants
  const iat = Math.floor(Date.now() / 1_000)
  const jti = randomBytes(8).toString('hex')
  const claims = { sub, name, aud: 'draftsync', iat, exp: iat + ttl, jti, ...claimed }
  const encode = (value: unknown): string =>
    Buffer.from(JSON.stringify(value)).toString('base64url')
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`
}

async function ready(started: ChildProcess): Promise<string> {
  if (started.stdout === null) throw new Error('expected the service to have a standard output')
  for await (const line of createInterface({ input: started.stdout })) {
    const url = line.match(/^draftsync ready (\S+)/)?.[1]
    if (url !== undefined) return url
  }
  throw new Error('the service ended before it was ready: run `draftsync serve` to see why')
}
