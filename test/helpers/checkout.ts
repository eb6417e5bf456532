import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** What of the project is no part of a repository that holds it, or what the tests put there themselves. */
const NOT_THERE = new Set(['.git', 'dist', 'deployments']);

/**
 * A repository that holds this project, built, and a folder of deployments, as a CI engine checks it out. The project itself
 * is linked: nothing writes to it.
 */
export function checkOut(workspace: string, deployments: string): void {
  mkdirSync(workspace, { recursive: true });
  for (const name of readdirSync('.'))
    if (!NOT_THERE.has(name) && name !== 'docs') symlinkSync(resolve(name), join(workspace, name));
  // GitLab includes files of the repository itself.
  cpSync('docs', join(workspace, 'docs'), { recursive: true });
  cpSync(deployments, join(workspace, 'deployments'), { recursive: true });
}

/** Makes a folder a repository with one commit, for engines that ask Git. */
export function commitAll(folder: string): void {
  const git = (...args: readonly string[]): void =>
    void execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.org', ...args], {
      cwd: folder,
      stdio: 'pipe',
    });
  git('init', '--quiet');
  git('add', '--all');
  git('commit', '--quiet', '-m', 'all');
}
