/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/bindings.h"
#include "protocol/address.h"
#include "protocol/label.h"

struct binding {
	const char *label; /* in the document */
	struct sb_prefix prefix;
	uint16_t port; /* 0: all */
	size_t index;
};

bool bindings_look_like(const char *data, size_t n)
{
	size_t i = 0;

	while (i < n && (data[i] == ' ' || data[i] == '\t' || data[i] == '\n' || data[i] == '\r'))
		i++;
	return i < n && data[i] == '{';
}

/* The keys of OBJECT must be among the N at KEYS, and all there. WHERE is "" or "bindings[3]: ". */
static int check_keys(json_t *object, const char *const *keys, size_t n, const char *where,
		      struct sb_error *error)
{
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value)
	{
		size_t i = 0;

		while (i < n && strcmp(key, keys[i]) != 0)
			i++;
		if (i == n)
			return sb_fail(error, EINVAL, "%sunknown key \"%s\"", where, key);
	}
	for (size_t i = 0; i < n; i++)
		if (!json_object_get(object, keys[i]))
			return sb_fail(error, EINVAL, "%sthere is no \"%s\"", where, keys[i]);
	return 0;
}

static int read_string(json_t *object, const char *key, const char *where, const char **ret,
		       struct sb_error *error)
{
	*ret = json_string_value(json_object_get(object, key));
	if (!*ret)
		return sb_fail(error, EINVAL, "%s\"%s\" must be a string", where, key);
	return 0;
}

static int read_binding(json_t *object, size_t index, struct binding *ret, struct sb_error *error)
{
	static const char *const keys[] = { "label", "prefix", "port" };
	const char *prefix = NULL;
	char where[64];
	json_t *port;
	int r;

	snprintf(where, sizeof(where), "bindings[%zu]: ", index);
	if (!json_is_object(object))
		return sb_fail(error, EINVAL, "%sa binding is an object", where);
	r = check_keys(object, keys, ARRAY_SIZE(keys), where, error);
	if (r == 0)
		r = read_string(object, "label", where, &ret->label, error);
	if (r == 0)
		r = read_string(object, "prefix", where, &prefix, error);
	if (r < 0)
		return r;
	if (sb_label_check(ret->label, error) < 0 ||
	    sb_prefix_parse(prefix, &ret->prefix, error) < 0)
		return sb_fail_prefix(error, "bindings[%zu]", index);
	port = json_object_get(object, "port");
	if (!json_is_integer(port) || json_integer_value(port) < 0 ||
	    json_integer_value(port) > 65535)
		return sb_fail(error, EINVAL, "%s\"port\" must be a number from 0 to 65535", where);
	ret->port = (uint16_t)json_integer_value(port);
	ret->index = index;
	return 0;
}

static int compare_key(const struct binding *a, const struct binding *b)
{
	int r = (int)a->prefix.address.family - (int)b->prefix.address.family;

	if (r == 0)
		r = memcmp(a->prefix.address.bytes, b->prefix.address.bytes,
			   sizeof(a->prefix.address.bytes));
	if (r == 0)
		r = (int)a->prefix.length - (int)b->prefix.length;
	if (r == 0)
		r = (int)a->port - (int)b->port;
	return r;
}

static int compare(const void *pa, const void *pb)
{
	const struct binding *a = pa, *b = pb;
	int r = compare_key(a, b);

	return r ? r : (a->index > b->index) - (a->index < b->index);
}

/* Sorts BINDINGS by key. */
static int check_duplicates(struct binding *bindings, size_t n, struct sb_error *error)
{
	qsort(bindings, n, sizeof(*bindings), compare);
	for (size_t i = 1; i < n; i++)
		if (compare_key(&bindings[i - 1], &bindings[i]) == 0)
			return sb_fail(error, EINVAL,
				       "bindings[%zu]: the same prefix and port as bindings[%zu]",
				       bindings[i].index, bindings[i - 1].index);
	return 0;
}

static int compare_index(const void *pa, const void *pb)
{
	const struct binding *a = pa, *b = pb;

	return (a->index > b->index) - (a->index < b->index);
}

static int write_rules(struct binding *bindings, size_t n, struct sb_text *text)
{
	char prefix[SB_ADDRESS_TEXT_MAX];

	qsort(bindings, n, sizeof(*bindings), compare_index);
	for (size_t i = 0; i < n; i++) {
		const struct binding *b = &bindings[i];

		sb_prefix_format(&b->prefix, prefix);
		if (b->port)
			sb_text_printf(text, "any %s %u %s\n", prefix, b->port, b->label);
		else
			sb_text_printf(text, "any %s any %s\n", prefix, b->label);
	}
	return text->error;
}

static int convert(json_t *root, struct sb_text *text, struct sb_error *error)
{
	static const char *const keys[] = { "bindings" };
	_cleanup_free_ struct binding *bindings = NULL;
	json_t *array;
	size_t n;
	int r;

	if (!json_is_object(root))
		return sb_fail(error, EINVAL, "the document must be an object");
	r = check_keys(root, keys, ARRAY_SIZE(keys), "", error);
	if (r < 0)
		return r;
	array = json_object_get(root, "bindings");
	if (!json_is_array(array))
		return sb_fail(error, EINVAL, "\"bindings\" must be an array");
	n = json_array_size(array);
	bindings = calloc(n ? n : 1, sizeof(*bindings));
	if (!bindings)
		return sb_fail(error, ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		r = read_binding(json_array_get(array, i), i, &bindings[i], error);
		if (r < 0)
			return r;
	}
	r = check_duplicates(bindings, n, error);
	if (r < 0)
		return r;
	r = write_rules(bindings, n, text);
	return r < 0 ? sb_fail(error, -r, "out of memory") : 0;
}

int bindings_to_rules(const char *data, size_t n, struct sb_text *text, struct sb_error *error)
{
	json_error_t where;
	json_t *root = json_loadb(data, n, JSON_REJECT_DUPLICATES, &where);
	int r;

	if (!root)
		return sb_fail(error, EINVAL, "line %d, column %d: %s", where.line, where.column,
			       where.text);
	r = convert(root, text, error);
	json_decref(root);
	return r;
}
