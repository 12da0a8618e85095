// The page with the new token is the response to a form. Reloading it must not post the form again.
"use strict";
history.replaceState(null, "", location.href);
