import { beforeEach, describe, it } from 'vitest';
import { SETS, skipWithout } from '../helpers/real.js';
import { withImage } from '../helpers/real-image.js';

describe('the firewall of a real release', () => {
  beforeEach(({ skip }) => {
    skipWithout([SETS], skip);
  });

  it('decides packets as the proof says', () =>
    withImage(async (boot) => {
      await boot('cells', '--check', 'cells', '--media', 'disk', '--timeout', '1500');
    }));
});
