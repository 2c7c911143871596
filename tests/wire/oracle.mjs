// npm yjs as the judge: what a list of updates means, and random histories from seeds.
// Driven by JSON lines: see tests/support/oracle.py.
import * as Y from 'yjs'
import { encoded, merged, play } from './lib/histories.mjs'
import { serve } from './lib/lines.mjs'
import { base64, bytes } from './lib/view.mjs'

await serve({
  /** `{histories: [[update]], roots?}` → the state after each list, delivered in its order. */
  merge: ({ histories, roots }) => histories.map((updates) => merged(updates, roots)),
  /** `{seeds, authors?, edits?, formats?}` → one random history for each seed. */
  generate: ({ seeds, ...size }) => seeds.map((seed) => encoded(play(seed, size))),
  /** `{update, vector}` → what a replica with that state vector lacks. */
  diff: ({ update, vector }) => base64(Y.diffUpdate(bytes(update), bytes(vector))),
  /** `{updates}` → one update made of all, with Skip blocks where they are not adjacent. */
  combine: ({ updates }) => base64(Y.mergeUpdates(updates.map(bytes)))
})
