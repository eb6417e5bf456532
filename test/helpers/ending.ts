import type { Reporter, TestModule, TestCase } from 'vitest/node';

/**
 * Says at the end which tests were skipped and why, and counts them: what was not looked at is not passed. Then which failed, since
 * of a long log people see the end.
 */
export default class Ending implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    this.skipped(modules);
    this.failed(modules);
  }

  private failed(modules: readonly TestModule[]): void {
    const failed = modules.flatMap((module) => [
      ...module.errors().map(({ message }) => [module.relativeModuleId, message]),
      ...[...module.children.allTests('failed')].map((test) => [
        `${module.relativeModuleId}: ${test.fullName}`,
        (test.result().errors ?? []).map(({ message }) => message).join('\n'),
      ]),
    ]);
    if (failed.length === 0) return;
    process.stdout.write(`\nFAILED: ${failed.length} ${failed.length === 1 ? 'test' : 'tests'}:\n`);
    for (const [name = '', message = ''] of failed)
      process.stdout.write(`  ${name}\n${message.slice(0, 6000).replace(/^/gm, '    ')}\n`);
  }

  private skipped(modules: readonly TestModule[]): void {
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
