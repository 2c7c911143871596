/** What all fields of a form share, and what seldom changes: so that none renders for another. */

import { createContext, useContext, useMemo } from 'react'
import { useReadable } from '../hooks'
import type { Question } from '../lib/form-types'
import { derived } from '../lib/readable'
import type { Draft, OpenDocument, Peer } from '../lib/types'

export interface Form {
  readonly draft: Draft
  readonly document: OpenDocument
  readonly readOnly: boolean
  /** What is missing was asked for: say which answers are. */
  readonly asked: boolean
  /** Others' answers are shown, whether one has answered oneself or not. */
  readonly revealed: boolean
  /** What a person is called. */
  readonly nameOf: (subject: string) => string
}

const Context = createContext<Form | null>(null)

export const FormContext = Context.Provider

export function useForm(): Form {
  const form = useContext(Context)
  if (form === null) throw new Error('put this field inside <DraftForm>')
  return form
}

/** Others who are in a question now. */
export function useFieldPeers({ id }: Question): readonly Peer[] {
  const { document } = useForm()
  const here = useMemo(
    () =>
      derived(
        [document.peers],
        () => document.peers.get().filter((peer) => !peer.self && peer.field === id),
        sameItems,
      ),
    [document, id],
  )
  return useReadable(here)
}

function sameItems(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((each, n) => each === b[n])
}

/** One for each person, however many tabs they have. */
export function byPerson(peers: readonly Peer[]): readonly Peer[] {
  return [...new Map(peers.map((peer) => [peer.subject, peer])).values()]
}
