// Provisional, by the lead: the generator (`draftsync forms types`) replaces this file and is to give these names.

export const FIELDS = 'fields'
export const RATINGS = 'ratings'
export const TAGS = 'tags/'
export const COMMENT = 'comment/'

export type IssueCode =
  | 'required'
  | 'not-a-number'
  | 'out-of-range'
  | 'off-step'
  | 'unknown-option'
  | 'not-a-boolean'
  | 'not-a-list'
  | 'not-text'
  | 'duplicate'
  | 'unknown-question'

export interface Progress {
  readonly answered: number
  readonly required: number
  readonly optional_answered: number
  readonly share: number
}

export interface Option {
  readonly id: string
  readonly label: string
}

interface Asked {
  readonly id: string
  readonly label: string
  readonly required: boolean
  readonly weight: number
  readonly shared: boolean
  readonly comment: boolean
  readonly help?: string
}

export interface ScoreQuestion extends Asked {
  readonly kind: 'score'
  readonly min: number
  readonly max: number
  readonly step?: number
}

export interface ChoiceQuestion extends Asked {
  readonly kind: 'choice'
  readonly options: readonly Option[]
  readonly multiple: boolean
}

export interface BooleanQuestion extends Asked {
  readonly kind: 'boolean'
}

export interface TagsQuestion extends Asked {
  readonly kind: 'tags'
}

export interface TextQuestion extends Asked {
  readonly kind: 'text'
}

export type Question =
  | ScoreQuestion
  | ChoiceQuestion
  | BooleanQuestion
  | TagsQuestion
  | TextQuestion

export interface Section {
  readonly id: string
  readonly title: string
  readonly questions: readonly Question[]
}

export interface FormDefinition {
  readonly id: string
  readonly title: string
  readonly sections: readonly Section[]
}
