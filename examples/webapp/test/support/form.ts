import type { FormDefinition, Question } from '../../src/lib/form-types'

const usual = { required: false, weight: 1, shared: false, comment: false }

export const QUESTIONS: readonly Question[] = [
  {
    ...usual,
    id: 'accuracy',
    kind: 'score',
    label: 'Accuracy',
    min: 1,
    max: 5,
    step: 1,
    required: true,
  },
  { ...usual, id: 'tone', kind: 'score', label: 'Tone', min: 0, max: 1, comment: true },
  {
    ...usual,
    id: 'verdict',
    kind: 'choice',
    label: 'Verdict',
    options: [
      { id: 'pass', label: 'Pass' },
      { id: 'fail', label: 'Fail' },
    ],
    multiple: false,
    shared: true,
    required: true,
  },
  { ...usual, id: 'policy', kind: 'boolean', label: 'Policy kept' },
  { ...usual, id: 'labels', kind: 'tags', label: 'Labels', shared: true },
  { ...usual, id: 'own-labels', kind: 'tags', label: 'My labels' },
  { ...usual, id: 'reasoning', kind: 'text', label: 'Reasoning', required: true },
]

/** A small form with questions of all kinds. */
export const FORM: FormDefinition = {
  id: 'small',
  title: 'A small form',
  sections: [{ id: 'all', title: 'All', questions: QUESTIONS }],
}
