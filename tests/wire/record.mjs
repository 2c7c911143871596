// Makes corpus/ anew: `npm run record`. Real editors, fixed seeds and client ids.
import { mkdir, readdir, unlink, writeFile } from 'node:fs/promises'

const corpus = new URL('corpus/', import.meta.url)
const RECORDERS = ['prosemirror', 'quill', 'lexical', 'yjs']

const write = async ({ name, recording }) => {
  const text = JSON.stringify(recording, null, 0).replaceAll('","', '",\n"')
  await writeFile(new URL(`${name}.json`, corpus), text + '\n')
  return `${name}: ${recording.updates.length} updates, ${text.length} bytes`
}

await mkdir(corpus, { recursive: true })
for (const file of await readdir(corpus)) await unlink(new URL(file, corpus))
for (const recorder of RECORDERS) {
  const { record } = await import(`./recorders/${recorder}.mjs`)
  for (const tape of await record()) process.stdout.write(await write({ name: tape.name, recording: tape.finish() }) + '\n')
}
process.exit(0)
