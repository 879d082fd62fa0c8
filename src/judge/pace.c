/* pace: requests and tokens a minute as a schedule: each start moves the next one away by what it costs. Without bursts, so that
 * a server that counts over seconds is content too. */
#include <math.h>

#include "judge/internal.h"

#define BACKOFF_MAX_S 60.0

inoci_pace inoci_pace_new(double requests_per_minute, double tokens_per_minute)
{
	return (inoci_pace){.per_request_s = requests_per_minute > 0 ? 60 / requests_per_minute : 0,
	                    .per_token_s = tokens_per_minute > 0 ? 60 / tokens_per_minute : 0};
}

void inoci_pace_start(inoci_pace *p, double now, double tokens)
{
	p->next = fmax(p->next, now) + fmax(p->per_request_s, p->per_token_s * tokens);
}

void inoci_pace_correct(inoci_pace *p, double more)
{
	p->next += p->per_token_s * more;
}

void inoci_pace_hold(inoci_pace *p, double now, double seconds)
{
	p->next = fmax(p->next, now + seconds);
}

double inoci_pace_backoff(int next_try, double base_s, double u)
{
	return u * fmin(BACKOFF_MAX_S, base_s * pow(2, next_try > 2 ? next_try - 2 : 0));
}
