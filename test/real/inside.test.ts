import { beforeEach, describe, expect, it } from 'vitest';
import { BASTILLE, folderOf, SETS, skipWithout } from '../helpers/real.js';
import { withImage } from '../helpers/real-image.js';

/** Installs it, looks from inside, and looks again after a restart. */
const lives = (...more: readonly string[]): Promise<void> =>
  withImage(async (boot) => {
    const lived = await boot('inside', '--installed', '--check', 'inside', '--restarts', '1', ...more);
    expect(lived.starts.map(({ fault }) => fault)).toEqual(['inside', 'restart-1']);
  });

describe('an instance of a real release', () => {
  beforeEach(({ skip }) => {
    skipWithout([SETS], skip);
  });

  it('is installed, lives as the documents say with Bastille itself, and lives on after a restart', async ({
    skip,
  }) => {
    skipWithout([BASTILLE], skip);
    await lives('--bastille', folderOf(BASTILLE));
  });

  // Where Bastille is, all of it was looked at.
  if (BASTILLE.skipped !== undefined) it('is installed, and is as it was after a restart', () => lives());
});
