import type { Reporter, TestModule, TestCase } from 'vitest/node';

/** Says at the end which tests were skipped and why, and counts them: what was not looked at is not passed. */
export default class Skipped implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const skipped: string[] = [];
    for (const module of modules)
      for (const test of module.children.allTests('skipped')) skipped.push(this.line(module, test));
    if (skipped.length === 0) return;
    const count = `SKIPPED: ${skipped.length} ${skipped.length === 1 ? 'test' : 'tests'}. Nothing is known of what they look at:`;
    process.stdout.write(`\n${count}\n${skipped.map((line) => `  ${line}\n`).join('')}`);
  }

  private line(module: TestModule, test: TestCase): string {
    const result = test.result();
    const note = result.state === 'skipped' ? result.note : undefined;
    return `${module.relativeModuleId}: ${test.fullName}${note === undefined ? '' : ` (${note})`}`;
  }
}
