/* How far the whole run is. Its parts tick on their own; here their steps and samples are counted against the plan, and the time
 * left is what the rest would take at the rates seen in this run. Scoring and tables are not counted: they take seconds.
 */
#include <math.h>
#include <string.h>

#include "lab/internal.h"

static double phase_units(const inoci_overall *o)
{
	return o->first >= 0 ? o->now_done - o->first : 0;
}

static double clamped(double v, double max)
{
	return v < 0 ? 0 : v > max ? max : v;
}

void inoci_overall_begin(inoci_overall *o, inoci_work kind, double now)
{
	o->active = true;
	o->kind = kind;
	o->began = o->last = now;
	o->now_done = 0;
	o->first = kind == INOCI_WORK_SAMPLES ? 0 : -1;
}

void inoci_overall_tick(inoci_overall *o, double done, double now)
{
	if (!o->active) return;
	if (o->first < 0) o->first = done - 1; /* training that was resumed begins in the middle */
	o->now_done = done;
	o->last = now;
}

void inoci_overall_end(inoci_overall *o, double planned)
{
	if (!o->active) return;
	o->units[o->kind] += phase_units(o);
	o->seconds[o->kind] += o->last - o->began;
	o->done[o->kind] += planned;
	o->active = false;
}

static void duration(char *s, size_t cap, double t)
{
	if (t < 90)
		snprintf(s, cap, "%.0f s", fmax(5, 5 * round(t / 5)));
	else if (t < 5400)
		snprintf(s, cap, "%.0f min", t / 60);
	else
		snprintf(s, cap, "%.1f h", t / 3600);
}

void inoci_overall_text(const inoci_overall *o, char *s, size_t cap)
{
	double done[2], used = 0, left = 0;
	bool known = true;
	char time[32];
	*s = 0;
	if (o->total[0] + o->total[1] <= 0) return;
	for (int k = 0; k < 2; k++) {
		bool now = o->active && o->kind == (inoci_work)k;
		double units = o->units[k] + (now ? phase_units(o) : 0), spent = o->seconds[k] + (now ? o->last - o->began : 0);
		done[k] = clamped(o->done[k] + (now ? o->now_done : 0), o->total[k]);
		if (units > 0 && spent > 0) {
			used += done[k] * spent / units;
			left += (o->total[k] - done[k]) * spent / units;
		} else if (o->total[k] > 0) {
			known = false;
		}
	}
	if (!known) { /* steps and samples cannot be added up before both were timed */
		if (o->total[0] > 0)
			snprintf(s, cap, "whole run %.0f/%.0f steps, %.0f/%.0f samples", done[0], o->total[0], done[1],
			         o->total[1]);
		else
			snprintf(s, cap, "whole run %.0f/%.0f samples", done[1], o->total[1]);
		return;
	}
	duration(time, sizeof time, left);
	snprintf(s, cap, "whole run %.0f %%, about %s left", floor(100 * (used / fmax(used + left, 1e-9))), time);
}

/* ---- as a progress that the parts of a run report to ---- */

static void tick(void *ctx, const char *what, double done, double total, const char *unit, const char *detail)
{
	inoci_overall *o = ctx;
	char all[96], text[256];
	inoci_overall_tick(o, done, inoci_now_s());
	if (o->active) {
		inoci_overall_text(o, all, sizeof all);
		snprintf(text, sizeof text, "%s%s%s", all, *all && detail && *detail ? "; " : "", detail ? detail : "");
		detail = text;
	}
	inoci_tick(o->outer, what, done, total, unit, detail);
}

static void note(void *ctx, const char *line)
{
	inoci_note(((inoci_overall *)ctx)->outer, "%s", line);
}

void inoci_overall_init(inoci_overall *o, const inoci_plan *p, const inoci_progress *outer)
{
	*o = (inoci_overall){.outer = outer, .own = {.tick = tick, .note = note, .ctx = o, .stop = outer ? outer->stop : NULL}};
	for (size_t i = 0; i < p->n; i++) {
		o->total[INOCI_WORK_STEPS] += p->v[i].trained ? 0 : p->v[i].steps;
		o->total[INOCI_WORK_SAMPLES] += (double)(p->v[i].n_samples - p->v[i].n_have);
	}
}
