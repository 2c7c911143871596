// What the README imports is there.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'

const README = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
const modules = import.meta.glob(['../src/lib/*.ts', '../src/hooks/index.tsx'])

const imported = [...README.matchAll(/import \{ (.+) \} from '\.\/(.+)'/g)].flatMap(
  ([, names = '', from = '']) => names.split(', ').map((name) => ({ name, from })),
)

describe('README.md', () => {
  test('shows imports', () => expect(imported.length).toBeGreaterThan(4))

  test.each(imported)('$name is in $from', async ({ name, from }) => {
    const path = [`../${from}.ts`, `../${from}/index.tsx`].find((each) => each in modules)
    const found = (await modules[path ?? '']?.()) as Record<string, unknown> | undefined
    expect(found?.[name]).toBeTypeOf('function')
  })
})
