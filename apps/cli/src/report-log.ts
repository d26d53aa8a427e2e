import { ReportLogView, type ReportView } from '@floe/protocol';
import { isFloeError } from '@floe/runtime';
import type { ApiClient } from './api-client.ts';

/** The last words of a step that failed; null: the server has let go of them since the list was made. */
export async function readReportLog(api: ApiClient, { host, series, seq }: ReportView): Promise<string | null> {
  try {
    return (await api.get(`/api/hosts/${host}/reports/${series}/${seq}/log`, ReportLogView)).log;
  } catch (error) {
    if (isFloeError(error, 'NOT_FOUND')) return null;
    throw error;
  }
}
