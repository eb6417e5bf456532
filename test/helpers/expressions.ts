import { data, Evaluator, Lexer, Parser } from '@actions/expressions';
import type { FunctionDefinition } from '@actions/expressions/funcs/info';

/** What expressions of a workflow see, as JSON: github, env, vars, secrets, needs, steps, matrix, strategy, … */
export type Contexts = Readonly<Record<string, unknown>>;

/** How the job stands, and which files there are. */
export interface State {
  readonly failed: boolean;
  readonly hash: (pattern: string) => string;
}

function functions(state: State): readonly FunctionDefinition[] {
  const say = (name: string, value: boolean): FunctionDefinition => ({
    ...{ name, minArgs: 0, maxArgs: 0 },
    call: () => new data.BooleanData(value),
  });
  return [
    say('success', !state.failed),
    say('failure', state.failed),
    say('always', true),
    say('cancelled', false),
    {
      ...{ name: 'hashFiles', minArgs: 1, maxArgs: 1 },
      call: (pattern: data.ExpressionData) => new data.StringData(state.hash(pattern.coerceString())),
    },
  ];
}

function run(expression: string, contexts: Contexts, state: State): data.ExpressionData {
  const own = functions(state);
  const context = JSON.parse(JSON.stringify(contexts), (key, value: unknown) =>
    data.reviver(key, value),
  ) as data.Dictionary;
  const { tokens } = new Lexer(expression).lex();
  const tree = new Parser(tokens, Object.keys(contexts), [...own]).parse();
  return new Evaluator(tree, context, new Map(own.map((each) => [each.name.toLowerCase(), each]))).evaluate();
}

const BRACES = /\$\{\{(.*?)\}\}/gs;

/** A text with its expressions in place, by GitHub's own evaluator. */
export function fill(text: string, contexts: Contexts, state: State): string {
  return text.replace(BRACES, (_, expression: string) => run(expression, contexts, state).coerceString());
}

/** The value of a field that is one expression, or what it is. */
export function valueOf(field: unknown, contexts: Contexts, state: State): unknown {
  if (typeof field !== 'string') return field;
  const [, only] = /^\$\{\{(.*)\}\}$/s.exec(field.trim()) ?? [];
  if (only === undefined) return fill(field, contexts, state);
  return JSON.parse(JSON.stringify(run(only, contexts, state), data.replacer)) as unknown;
}

/** Whether an `if:` holds: without a word about how the job stands, only while nothing has failed. */
export function holds(condition: string | undefined, contexts: Contexts, state: State): boolean {
  const expression = (condition ?? 'success()').replace(/^\$\{\{(.*)\}\}$/s, '$1');
  const said = /\b(?:success|failure|always|cancelled)\(\)/.test(expression);
  if (!said && state.failed) return false;
  const result = run(expression, contexts, state);
  return !['', 'false', '0', 'null'].includes(result.coerceString());
}
