// JSON lines: one request a line on stdin, one answer a line on stdout, and events in between.
import { createInterface } from 'node:readline'
import { Failure } from './failure.mjs'

// Anything a library prints would break the lines, so it goes to stderr.
console.log = console.info = console.error

/** Write one object to stdout. */
export const say = (object) => process.stdout.write(JSON.stringify(object) + '\n')

/**
 * Answer requests `{id, do, ...}` with `{id, result}` or `{id, error}` until stdin closes. Requests
 * are started in order and may finish in any order: a wait does not hold up what follows it.
 * @param {Record<string, (request: any) => any>} commands
 * @param {() => Promise<void> | void} [finish] runs when stdin has closed
 */
export const serve = async (commands, finish = () => {}) => {
  for await (const line of createInterface({ input: process.stdin })) {
    answer(commands, JSON.parse(line))
  }
  await finish()
  process.exit(0)
}

const answer = async (commands, request) => {
  try {
    const command = commands[request.do]
    if (command === undefined) throw new Error(`no such command: ${request.do}`)
    say({ id: request.id, result: (await command(request)) ?? null })
  } catch (error) {
    say({ id: request.id, error: describe(error) })
  }
}

// An expected failure explains itself; anything else is a fault of the driver and shows where.
const describe = (error) => error instanceof Failure ? error.message : String(error?.stack ?? error)
