// Waiting for a condition, with a deadline and a reason.
import { Failure } from './failure.mjs'

/** The documents, awarenesses and sockets tell that something may have changed. */
const waiting = new Set()
let scheduled = null

/** Call after anything that a condition may look at. Conditions are looked at soon, and once. */
export const changed = () => {
  if (waiting.size > 0) scheduled ??= setTimeout(review, 4)
}

const review = () => {
  scheduled = null
  for (const wait of [...waiting]) wait()
}

/**
 * Resolve with what `check` returns as soon as that is not undefined; after `within` seconds reject
 * with what `explain` says.
 */
export const until = (check, within, explain) => new Promise((resolve, reject) => {
  const settle = (done, result) => {
    clearTimeout(timer)
    waiting.delete(look)
    done(result)
  }
  const look = () => {
    try {
      const result = check()
      if (result !== undefined) settle(resolve, result)
    } catch (error) {
      settle(reject, error)
    }
  }
  const timer = setTimeout(() => settle(reject, new Failure(`after ${within} s: ${explain()}`)), within * 1000)
  waiting.add(look)
  look()
})

/** As above for a condition without a result. */
export const untilTrue = (check, within, explain) => until(() => check() || undefined, within, explain)
