/**
 * Drafts that were left while edits of theirs waited: they stay open, unseen, until the service has
 * everything; after the page was closed, too, from when it is opened again. Which ones is kept per
 * person; the edits themselves are where the client library keeps them.
 */

import type { Client, OpenDocument } from './lib/types'

const KEY = 'draftsync.unsent:'

/** Remember a draft for as long as anything of it waits. Returns what ends that, and sends on. */
export function watchUnsent(client: Client, subject: string, document: OpenDocument): () => void {
  const look = () => {
    const { state, waiting } = document.saving.get()
    if (waiting > 0) change(subject, (names) => names.add(document.name))
    else if (state === 'saved') change(subject, (names) => names.delete(document.name))
  }
  look()
  const stop = document.saving.subscribe(look)
  return () => {
    stop()
    if (document.saving.get().waiting > 0) sendOn(client, subject, document.name)
  }
}

/** Send what earlier pages could not. */
export function sendUnsent(client: Client, subject: string): void {
  for (const name of read(subject)) sendOn(client, subject, name)
}

function sendOn(client: Client, subject: string, name: string): void {
  const document = client.document(name)
  const quiet = warnWhileWaiting(document)
  const send = async () => {
    await document.ready
    await document.saved()
    change(subject, (names) => names.delete(name))
  }
  send()
    .catch(() => {}) // refused for good: its page says so, and it is tried again with the next page
    .finally(() => {
      quiet()
      document.release()
    })
}

/** While anything is not saved, closing the page asks first. */
export function warnWhileWaiting(document: OpenDocument): () => void {
  const warn = (event: BeforeUnloadEvent) => event.preventDefault()
  const look = () => {
    // Only then: a page that listens always is not kept by browsers for going back.
    if (document.saving.get().waiting > 0) window.addEventListener('beforeunload', warn)
    else window.removeEventListener('beforeunload', warn)
  }
  look()
  const stop = document.saving.subscribe(look)
  return () => {
    stop()
    window.removeEventListener('beforeunload', warn)
  }
}

function read(subject: string): readonly string[] {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(KEY + subject) ?? '[]')
    return Array.isArray(kept) ? kept.filter((each) => typeof each === 'string') : []
  } catch {
    return []
  }
}

function change(subject: string, edit: (names: Set<string>) => void): void {
  const before = read(subject)
  const names = new Set(before)
  edit(names)
  if (names.size === before.length) return
  try {
    localStorage.setItem(KEY + subject, JSON.stringify([...names]))
  } catch {
    // Where nothing is kept on this device, no edits are kept either, and the page has said so.
  }
}
