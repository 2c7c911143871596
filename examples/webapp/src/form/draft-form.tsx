/** A form, as its definition has it. It renders when the form does, and not when an answer does. */

import './form.css'
import { memo, useId } from 'react'
import type { Section } from '../lib/form-types'
import { type Form, FormContext } from './context'
import { Field } from './field'

export const DraftForm = memo(function DraftForm({ form }: { form: Form }) {
  const { title, sections } = form.draft.form
  return (
    <FormContext value={form}>
      <form className="form" aria-label={title} onSubmit={(event) => event.preventDefault()}>
        {sections.map((section) => (
          <FormSection key={section.id} section={section} />
        ))}
      </form>
    </FormContext>
  )
})

const FormSection = memo(function FormSection({ section }: { section: Section }) {
  const heading = useId()
  return (
    <section className="form-section" aria-labelledby={heading}>
      <h3 id={heading}>{section.title}</h3>
      {section.questions.map((question) => (
        <Field key={question.id} question={question} />
      ))}
    </section>
  )
})
