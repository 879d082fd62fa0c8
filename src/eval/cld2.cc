// The one place that speaks C++: CLD2's detector behind two C functions. No exception leaves it.
#include <cstdio> // CLD2 needs it and does not include it
#include <cstring>

#include <cld2/internal/lang_script.h>
#include <cld2/public/compact_lang_det.h>
#include <cld2/public/encodings.h>

#include "eval/internal.h"

inoci_cld2_guess inoci_cld2_detect(const char *text, size_t n, const char *hints)
{
	inoci_cld2_guess g = {"un", 0, 0, 0.0, false};
	const size_t most = 1 << 20; // a megabyte says enough, and the length is an int
	if (n > most) {
		n = most;
		while (n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80) n--;
	}
	try {
		CLD2::CLDHints h = {hints, nullptr, CLD2::UNKNOWN_ENCODING, CLD2::UNKNOWN_LANGUAGE};
		CLD2::Language lang[3] = {CLD2::UNKNOWN_LANGUAGE, CLD2::UNKNOWN_LANGUAGE, CLD2::UNKNOWN_LANGUAGE};
		int percent[3] = {0, 0, 0}, bytes = 0, valid = 0;
		double score[3] = {0, 0, 0};
		bool reliable = false;
		CLD2::ExtDetectLanguageSummaryCheckUTF8(text, (int)n, true, &h, hints ? CLD2::kCLDFlagBestEffort : 0, lang,
		                                        percent, score, nullptr, &bytes, &reliable, &valid);
		g.code = CLD2::LanguageCode(lang[0]);
		g.percent = percent[0];
		g.letter_bytes = bytes;
		g.score = score[0];
		g.reliable = reliable;
	} catch (...) {
	}
	return g;
}

bool inoci_cld2_knows(const char *code)
{
	CLD2::Language l = CLD2::GetLanguageFromName(code);
	return l != CLD2::UNKNOWN_LANGUAGE && std::strcmp(CLD2::LanguageCode(l), code) == 0;
}

const char *inoci_cld2_version(void)
{
	return CLD2::DetectLanguageVersion();
}
