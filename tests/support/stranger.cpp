// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The reader and the writer of support/peers.h as a program of their own, to be built for
// another kind of machine than the tests.
#include "support/peers.h"
